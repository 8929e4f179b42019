#!/bin/sh
# The late command: the system is installed below /target. A failure here makes the installer run the
# error command, which reports it with late.log.
cd /tmp/farrier || exit 1
. ./farrier.env
. ./report.sh

target=${TARGET_MOUNT_POINT:-/target}
logs=${FARRIER_LOG_DIR:-/var/log/installer}

finish() {
    set -e
    if [ "${ENCRYPT:-none}" != none ]; then
        # the installed system has this one's /dev, /proc and /run while the command runs, which reads nothing
        key=${FARRIER_KEY:-/run/farrier-key}
        cp unlock.sh "$key.sh"
        curtin in-target --target="$target" -- sh "$key.sh" / "$key"
        rm -f "$key.sh"
        [ ! -e "$key" ]
    fi
    farrier_progress handoff
    farrier_get first-boot.sh first-boot.sh
    sh first-boot.sh "$target"
    rm -f first-boot.sh
    # Not the addresses of this build, which end with it anyway.
    farrier_scrub "$target"/var/log/installer/* "$target"/var/log/cloud-init*
}

echo configure >stage
# in a shell of its own, where set -e holds: a list with || would switch it off
(finish) >late.log 2>&1
code=$?
cat late.log
[ "$code" = 0 ] || exit "$code"
farrier_tail "$logs/subiquity-server-debug.log" >end
farrier_post end end || echo "Farrier: the end could not be reported (HTTP status $farrier_status)"
exit 0
