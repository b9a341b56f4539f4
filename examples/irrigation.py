"""How much to water a field over a season: a simulator as one writes it, with a pump, runoff and a tariff."""

import jax
import jax.numpy as jnp

import descend

DAYS = 60
RAIN = 6.0 * jax.random.exponential(jax.random.key(7), (DAYS,)) * jax.random.bernoulli(jax.random.key(8), 0.3, (DAYS,))
TARIFF = jnp.array([0.9, 1.4, 2.5])  # a price for each band of use


def season(plan):
    """Yield lost and water paid."""

    def day(moisture, rain):
        wanted = plan["dose"] * jax.nn.sigmoid(9.0 * (plan["threshold"] - moisture))
        dose = jnp.where(wanted > 0.5, wanted, 0.0)  # the pump does not run below
        moisture = 0.9 * moisture + 0.05 * (rain + dose)
        runoff = jnp.maximum(moisture - 1.0, 0.0)
        moisture = moisture - runoff
        stress = jnp.where(moisture < 0.35, 0.4 + (0.35 - moisture), 0.0)
        return moisture, (dose, stress)

    _, (doses, stress) = jax.lax.scan(day, 0.6, RAIN)
    use = jnp.sum(doses)
    band = jnp.searchsorted(jnp.array([40.0, 120.0]), use)
    return 10.0 * jnp.mean(stress) + 0.01 * TARIFF[band] * use


problem = descend.Problem(
    season,
    over={
        "threshold": descend.Real(lower=0.0, upper=1.0, start=0.5),
        "dose": descend.Real(lower=0.0, upper=8.0, start=4.0),
    },
)
