#!/usr/bin/env python3
"""The forest of `bitkerf bench --fit` beside scikit-learn's, trained on the same rows in the same parts.

    bitkerf bench --sweep --seconds 50 -o sweep.csv         # measure (several --seed, joined with cat, are one table)
    bitkerf bench --fit sweep.csv -o predicted.csv          # learn; every shape held out once
    bench/cost_forest.py predicted.csv                      # needs scikit-learn

Prints R2 of log(time / bound), the median error and its 95th percentile of both. Exit code 1 when our R2 is more than
0.02 below.
"""
import csv
import sys

import numpy
from sklearn.ensemble import RandomForestRegressor


def main():
    with open(sys.argv[1], newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.startswith("f_")]
    x = numpy.array([[float(row[name]) for name in names] for row in rows], dtype=numpy.float32)
    column = lambda name: numpy.array([float(row[name]) for row in rows])
    seconds, bound, fold = column("seconds"), column("seconds_bound"), column("fold")
    target = numpy.log(seconds / bound)
    theirs = numpy.zeros(len(rows))
    for part in numpy.unique(fold):
        seen = fold != part
        forest = RandomForestRegressor(n_estimators=100, max_depth=12, max_features=0.5, random_state=1, n_jobs=2)
        forest.fit(x[seen], target[seen])
        theirs[~seen] = forest.predict(x[~seen])
    r2 = {}
    for name, guess in (("bitkerf", numpy.log(column("predicted") / bound)), ("scikit-learn", theirs)):
        r2[name] = 1 - ((target - guess) ** 2).sum() / ((target - target.mean()) ** 2).sum()
        error = abs(numpy.exp(guess - target) - 1)
        print(f"{name:<13} R2 {r2[name]:.4f}  error: median {100 * numpy.median(error):.2f} %, "
              f"95th percentile {100 * numpy.quantile(error, 0.95):.1f} %")
    return 0 if r2["bitkerf"] > r2["scikit-learn"] - 0.02 else 1


if __name__ == "__main__":
    sys.exit(main())
