# shellcheck shell=bash disable=SC2034
# What does it cost to carry an answer of 64 KiB?
TITLE='64 KiB body'
ASK=/64k
GOAL_CPU=0.95
GOAL_P99=1.00
