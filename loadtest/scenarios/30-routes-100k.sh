# shellcheck shell=bash disable=SC2034
# And with 100,000?
TITLE='100,000 routes'
ROUTES=100000
GOAL_CPU=0.95
GOAL_P99=1.00
