#!/bin/sh
# The error command: the installer gave up. Reports the end of its logs, and leaves the machine to its
# firmware.
cd /tmp/farrier || exit 1
. ./farrier.env
. ./report.sh

logs=${FARRIER_LOG_DIR:-/var/log/installer}
{
    cat early.log late.log 2>/dev/null
    tail -n 60 "$logs/subiquity-server-debug.log" 2>/dev/null
    tail -n 60 "$logs/curtin-install.log" "$logs/curtin-install/install.log" 2>/dev/null
} >failure.log
farrier_fail "$(cat stage 2>/dev/null || echo install)" failure.log "the Ubuntu installer gave up"
farrier_leave
