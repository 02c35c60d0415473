# shellcheck shell=bash disable=SC2034
# And with 1,000 routes in the gateway's configuration, of which the last is asked for?
TITLE='1,000 routes'
ROUTES=1000
GOAL_CPU=0.90
GOAL_P99=1.00
