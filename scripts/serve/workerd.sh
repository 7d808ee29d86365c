#!/bin/sh
# The terminal sends Ctrl-C to the whole group. Only the launcher acts on it, which lets open answers
# end first; the runtime, which would end at once, inherits that it ignores these signals.
trap "" INT HUP
exec "$WORKERD_BINARY" "$@"
