# shellcheck shell=bash disable=SC2034
# What becomes of a hundredth of the requests, on which the origin hangs up without an answer?
TITLE='origin fails 1 %'
ASK=/flaky
MAY_FAIL=yes
