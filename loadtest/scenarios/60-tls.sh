# shellcheck shell=bash disable=SC2034
# What does a request cost over TLS, on connections that stay open?
TITLE='TLS, HTTP/1.1'
SPEAKS=https
GOAL_CPU=1.00
