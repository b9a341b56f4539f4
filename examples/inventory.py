"""Order-up-to levels of a warehouse and six shops, in a NumPy simulator on a year of real sales.

    descend solve examples/inventory.py --seconds 30 --out out/inventory

The baseline is the generalized newsvendor rule: each place orders up to a quantile of the demand over its lead time, as
if what it orders always arrived. `benchmarks/inventory.py` compares with the rule tuned in the same simulator, too.
"""

import numpy as np

import descend
from descend.datasets import demand

SHOPS, DAYS = 6, 112
LEAD = {"warehouse": 4, "shops": 2}  # an order of tonight is there in the morning so many days later
HOLD = {"warehouse": 0.05, "shops": 0.2}  # a unit for a night
LOST = 2.0  # the margin of a sale that could not be served

sales = demand().units[demand().open]
sales = sales[:, np.argsort(-sales.sum(0))[:SHOPS]]


def cost(levels, *, key):
    """Average cost of a day: units held overnight, and sales lost."""
    weeks = np.random.default_rng(key).integers(0, len(sales) - 6, DAYS // 7)  # weekdays and bursts stay together
    depot, stock = float(levels["warehouse"]), levels["shops"].copy()
    to_depot, to_shops = np.zeros(LEAD["warehouse"]), np.zeros((LEAD["shops"], SHOPS))
    total = 0.0
    for wanted in sales[(weeks[:, None] + np.arange(7)).ravel()]:
        depot, stock = depot + to_depot[0], stock + to_shops[0]
        sold = np.minimum(stock, wanted)
        stock = stock - sold
        orders = np.maximum(levels["shops"] - stock - to_shops[1:].sum(0), 0)
        sent = np.floor(orders * min(1.0, depot / max(orders.sum(), 1)))  # a short warehouse is shared in proportion
        depot -= sent.sum()
        bought = max(levels["warehouse"] - depot - to_depot[1:].sum(), 0)
        to_depot, to_shops = np.append(to_depot[1:], bought), np.vstack([to_shops[1:], sent])
        total += LOST * (wanted - sold).sum() + HOLD["shops"] * stock.sum() + HOLD["warehouse"] * depot
    return total / DAYS


def newsvendor(ratios):
    """At each place the quantile of the demand between tonight and the morning on which tomorrow's order arrives."""
    levels = {}
    for place, series in (("shops", sales), ("warehouse", sales.sum(1))):
        windows = np.lib.stride_tricks.sliding_window_view(series, LEAD[place], axis=0)
        levels[place] = np.round(np.quantile(windows.sum(-1), ratios[place], axis=0))
    return levels


rule = newsvendor({place: LOST / (LOST + HOLD[place]) for place in HOLD})
places = {
    "shops": descend.Integer(SHOPS, 0, 60, start=rule["shops"]),
    "warehouse": descend.Integer((), 0, 600, start=rule["warehouse"]),
}
problem = descend.Problem(cost, over=places, baselines={"newsvendor": rule})
