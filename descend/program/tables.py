"""What each primitive does to a derivative, by name. A name in no table is unread, and probing decides about it."""

from typing import Any

ROUNDING = frozenset("floor ceil round sign nextafter".split())
"""Piecewise constant in the operand: the derivative is zero wherever it exists."""

COMPARISONS = frozenset("eq ne lt le gt ge eq_to le_to lt_to".split())

GUARDS = frozenset({"is_finite"})
"""Asks a question whose answer is the same at every point where the program is of use."""

KINKED = frozenset(
    "abs max min clamp reduce_max reduce_min cummax cummin reduce_window_max reduce_window_min"
    " select_and_gather_add scatter-max scatter-min scatter_max scatter_min pmax pmin".split()
)
"""Continuous and piecewise smooth. `select_n`, `sort` and `top_k` have rules of their own."""

ROLES = {
    "kinks": KINKED,
    "branches": frozenset({"rem", "atan2"}),
    "crosses": frozenset({"eigh", "svd", "eig", "schur"}),
}
"""What else an equation may do to a derivative, by the name of the role. `atan2` jumps behind its origin."""

STEEP = frozenset("sqrt acos asin acosh".split())
"""Infinitely steep at an end: where something smooth touches that end and turns back, the result has a kink."""


def is_root(eqn: Any) -> bool:
    """Whether an equation is steep in that way; a power is, if its exponent is known to be between 0 and 1."""
    exponent = getattr(eqn.invars[-1], "val", None) if eqn.primitive.name == "pow" else None
    return eqn.primitive.name in STEEP or (exponent is not None and bool(0 < exponent < 1))


COUNTING = frozenset(
    """reduce_sum reduce_prod reduce_xor dot_general ragged_dot_general conv_general_dilated cumsum
    cumprod cumlogsumexp reduce_window_sum reduce_window sort top_k approx_top_k fft scatter-add scatter_add""".split()
)
"""Makes one number of many: of pieces that are constant it makes a staircase of counts."""

DRAWS = frozenset("random_bits random_gamma rng_bit_generator rng_uniform".split())
"""Random numbers from a key."""

STATED = frozenset({"descend_draw"})
"""A draw whose distribution is stated beside it (`descend.draws`): its first operand as it is."""

LOOKUPS = {"gather": 1, "dynamic_slice": 1, "dynamic_update_slice": 2, "scatter": 1}
"""Reads or writes at computed places: the position of the first operand that is an index."""

SCATTERS = frozenset(
    "scatter scatter-add scatter-mul scatter-max scatter-min scatter-sub"
    " scatter_add scatter_mul scatter_max scatter_min scatter_sub".split()
)

ARRANGING = frozenset("convert_element_type broadcast_in_dim reshape squeeze transpose copy neg".split())
"""Passes each number on by itself, perhaps with another sign or type."""

SMOOTH = frozenset(
    """acos acosh add add_any after_all and argmax argmin asin asinh atan atan2 atanh axis_index bessel_i0e
    bessel_i1e bitcast_convert_type broadcast_in_dim broadcast_to cbrt cholesky cholesky_update clz complex
    concatenate conj conv_general_dilated convert_element_type copy copy_p cos cosh create_token cumlogsumexp
    cumprod cumsum custom_lin custom_linear_solve debug_callback debug_print device_put digamma div dot_general
    dynamic_slice dynamic_update_slice eig eigh empty empty2 erf erf_inv erfc exp exp2 expm1 fft from_edtype
    gather geqp3 geqrf get hessenberg householder_product igamma igamma_grad_a igammac imag integer_pow iota
    iota_2x32_shape layout_constraint lgamma log log1p log2 logistic lu lu_pivots_to_permutation mul mulhi name
    neg not one_minus_square optimization_barrier or ormqr pad philox2x32 philox4x32 platform_index polygamma
    polynomial population_count pow pvary qr ragged_dot_general random_bits random_clone random_fold_in
    random_gamma random_gamma_grad random_seed random_split random_unwrap random_wrap real reciprocal reduce_and
    reduce_or reduce_precision reduce_prod reduce_sum reduce_window_sum reduce_xor regularized_incomplete_beta
    relayout reshape reshard rev rng_bit_generator rng_uniform rsqrt scaled_dot schur select_and_scatter_add
    sharding_constraint shift_left shift_right_arithmetic shift_right_logical sin sinh slice split sqrt square
    squeeze stack stop_gradient sub svd swap symmetric_product tan tanh threefry2x32 threefry4x32 tie tile
    to_edtype transpose triangular_solve tridiagonal tridiagonal_solve unstack unvmap_all unvmap_any unvmap_max
    with_memory_space_constraint xla_metadata_value xor zeros_like zeta""".split()
)
"""Differentiable where finite, or of integers only."""

ELEMENTWISE = (
    ROUNDING
    | COMPARISONS
    | GUARDS
    | frozenset(
        """abs acos acosh and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp clz cos cosh digamma
        erf erf_inv erfc exp exp2 expm1 igamma igamma_grad_a igammac lgamma log log1p log2 logistic max min not
        one_minus_square or polygamma population_count pow random_gamma_grad regularized_incomplete_beta rem rsqrt
        shift_left shift_right_arithmetic shift_right_logical sin sinh sqrt stop_gradient tan tanh xor zeta""".split()
    )
)
"""Each number of the result is a function of the numbers at its place in the operands, which may be scalars."""

READ = SMOOTH | ROUNDING | COMPARISONS | GUARDS | KINKED | SCATTERS | frozenset(LOOKUPS) | frozenset({"rem"})

REFUSED = {
    "memory that is written to": """accum_grad_in_ref addupdate box_get box_set create_linear empty_ref free_ref freeze
        log_extend log_read new_box new_log new_ref pin stage unpin""",
    "kernels": """core_map delay get_global jaxpr_call masked_load masked_swap mpmd_map multiple_of num_programs
        pallas_call program_id run_scoped semaphore_read semaphore_signal semaphore_wait""",
    "code of vendors and other languages": """cudnn_fusion dot_product_attention_bwd dot_product_attention_fp8_bwd
        dot_product_attention_fp8_fwd dot_product_attention_fwd ffi_call scaled_matmul""",
    "several devices": """all_gather all_gather_invariant all_gather_reduced all_to_all pbroadcast ppermute precv
        preduced psend psum psum_invariant ragged_all_to_all reduce_scatter reduced_vary_cast reduced_vary_cast_p
        shard_map unreduced_pmax unreduced_pmin unreduced_psum unreduced_reduce_scatter vary_unreduced_cast
        vary_unreduced_cast_p pbroadcast_dynamic""",
    "programs that are closed to reading": """call_exported call_hi_primitive call_hi_primitive_linearized
        custom_jvp_call_jaxpr custom_partitioning linear_call remat_opt""",
    "any function of two numbers": "reduce reduce_window select_and_scatter approx_top_k",
    "questions about shapes, and what only a compiler sees": """check dce_sink dim_as_value dimension_size
        inspect_sharding shape_assertion unreachable""",
}
"""What is met as unread on purpose, by the reason: probing decides about it."""

_REFUSED = frozenset(" ".join(REFUSED.values()).split())


def is_refused(name: str) -> bool:
    """Whether a primitive is left unread on purpose; so are the halves and wrappers of refused ones."""
    for ending in ("_start", "_done", "_wrapper"):
        name = name.removesuffix(ending)
    return name in _REFUSED
