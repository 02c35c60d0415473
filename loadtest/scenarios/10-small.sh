# shellcheck shell=bash disable=SC2034
# What does a request cost whose answer is 60 bytes long?
TITLE='small body'
