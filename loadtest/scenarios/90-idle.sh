# shellcheck shell=bash disable=SC2034
# What do 10,000 connections cost that have asked once and say nothing more, beside those that do?
TITLE='10,000 idle'
IDLE=10000
GOAL_RSS=118 # 40 MiB, and 8 KiB of each connection
