# shellcheck shell=bash disable=SC2034
# What does a request cost whose bytes pass as a stream of TCP, unread, on connections that stay open?
TITLE='stream, small body'
SPEAKS=tcp
