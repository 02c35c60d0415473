# shellcheck shell=bash disable=SC2034
# The same, setting the headers that the gateway sets.
# shellcheck source=loadtest/rivals/floor/rival.sh
source loadtest/rivals/floor/rival.sh
FLOOR_OPTIONS=(--headers)
