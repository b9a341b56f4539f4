"""Order-up-to levels of a warehouse and six shops, in a NumPy simulator on a year of real sales.

    descend solve examples/inventory.py --seconds 30 --out out/inventory

The baseline is the generalized newsvendor rule: each place orders up to the quantile p / (p + h) of the demand over its
lead time, as if what it orders always arrived.
"""

import numpy as np

import descend
from descend.datasets import demand

SHOPS, DAYS = 6, 112
LEAD = {"warehouse": 4, "shops": 2}  # days from order to arrival
HOLD = {"warehouse": 0.05, "shops": 0.2}  # a unit for a night
LOST = 2.0  # the margin of a sale that could not be served

sales = demand().units[demand().open]
sales = sales[:, np.argsort(-sales.sum(0))[:SHOPS]]


def weeks(random):
    """DAYS of demand: weeks of the year in random order, so that weekdays and bursts stay together."""
    starts = random.integers(0, len(sales) - 7, DAYS // 7)
    return sales[(starts[:, None] + np.arange(7)).ravel()]


def cost(levels, *, key):
    """Average cost of a day: units held overnight, and sales lost."""
    depot, stock = float(levels["warehouse"]), levels["shops"].copy()
    to_depot, to_shops = np.zeros(LEAD["warehouse"]), np.zeros((LEAD["shops"], SHOPS))
    total = 0.0
    for wanted in weeks(np.random.default_rng(key)):
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


def newsvendor():
    """The quantile of demand over the lead time, at each place by itself."""
    places = {"shops": sales, "warehouse": sales.sum(1)}
    levels = {}
    for place, series in places.items():
        window = LEAD[place]  # an order at night covers the days until the next one has arrived
        over = np.array([series[i : i + window].sum(0) for i in range(len(series) - window + 1)])
        levels[place] = np.round(np.quantile(over, LOST / (LOST + HOLD[place]), axis=0))
    return levels


rule = newsvendor()
problem = descend.Problem(
    cost,
    over={
        "shops": descend.Integer(SHOPS, 0, 60, start=rule["shops"]),
        "warehouse": descend.Integer((), 0, 600, start=rule["warehouse"]),
    },
    baselines={"newsvendor": rule},
)
