# shellcheck shell=bash disable=SC2034
# What does it cost to carry a request of 16 KiB?
TITLE='POST of 16 KiB'
ASK=/post
METHOD=POST
BODY=16384
