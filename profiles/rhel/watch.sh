#!/bin/sh
# Runs beside Anaconda: says where it stands, and notices when it has said nothing for too long.
cd "${FARRIER_DIR:-/tmp/farrier}" || exit 1
. ./farrier.env
. ./report.sh

logs=${FARRIER_LOG_DIR:-/tmp}
tick=${FARRIER_TICK:-5}
stage=partition
told=
quiet=0
beat=60
seen=0

# The last line by which Anaconda says what it does: `Task started: Installing boot loader (12/40)`, or
# in older releases the step itself.
doing() {
    sed -n -e 's/.*\(Task\|Queue\|TaskQueue\) started: *//p' -e 's/.*progress message: *//p' \
        -e 's/.*\(Running Task\|Starting the\) *//p' "$logs/anaconda.log" 2>/dev/null | tail -n 1
}

# word TEXT: the stage that it belongs to.
word() {
    case $1 in
        *[Ss]torage* | *partition* | *Creating\ *\ on\ */dev/*) echo partition ;;
        *oot\ loader* | *ootloader*) echo bootloader ;;
        *ayload* | *ackage* | *oftware*) echo packages ;;
        *onfigur* | *users* | *initramfs*) echo configure ;;
        *post-installation\ scripts*) echo finish ;;
        *) echo "$stage" ;;
    esac
}

while [ ! -e stop ]; do
    sleep "$tick"
    size=$(cat "$logs"/anaconda.log "$logs"/packaging.log "$logs"/storage.log "$logs"/program.log \
        "$logs"/dnf.librepo.log 2>/dev/null | wc -c)
    if [ "$size" = "$seen" ]; then
        quiet=$((quiet + tick))
    else
        quiet=0
        seen=$size
    fi
    line=$(doing)
    stage=$(word "$line")
    if [ "$SILENCE" -gt 0 ] && [ "$quiet" -ge $((SILENCE * 60)) ]; then
        farrier_fail "$stage" "$logs/anaconda.log" "Anaconda has logged nothing for $SILENCE minutes"
        farrier_leave
    fi
    beat=$((beat - tick))
    if [ "$stage" != "$told" ] || [ "$beat" -le 0 ]; then
        farrier_progress "$stage" "$(printf '%s' "$line" | cut -c 1-200)"
        echo "$stage" >stage
        told=$stage
        beat=60
    fi
done
