#!/bin/sh
# Runs beside the installer: says where it stands, and notices when it failed or waits for an answer
# that nobody will give. The installer has no hook for either; its log is all there is.
cd /tmp/farrier || exit 1
. ./farrier.env
. ./report.sh

log=${FARRIER_LOG:-/var/log/syslog}
tick=${FARRIER_TICK:-5}
seen=0
quiet=0
dialog=0
beat=0
stage=setup
failed=

# word MENU-ITEM: the stage it belongs to.
word() {
    case $1 in
        disk-detect | partman*) echo partition ;;
        bootstrap-base | live-installer) echo extract ;;
        apt-setup* | pkgsel | apt-mirror*) echo packages ;;
        grub-installer | lilo-installer | nobootloader) echo bootloader ;;
        finish-install | save-logs) echo finish ;;
        *) echo setup ;;
    esac
}

# Whether the installer waits for a key. Its debconf reads from the component it runs (read, on some
# other descriptor) until it shows a dialog: then it waits for descriptor 0 (pselect6, one
# descriptor; 270 is its number on x86-64, 72 on arm64). Seen in Debian 12's text frontend.
at_a_dialog() {
    for pid in $(pidof debconf); do
        read -r call <"${FARRIER_PROC:-/proc}/$pid/syscall" || continue
        case $call in
            "270 0x1 "* | "72 0x1 "*) return 0 ;;
        esac
    done 2>/dev/null
    return 1
}

fail() {
    # a person who sits at the console turned this off
    [ "${SILENCE:-20}" -gt 0 ] || return 0
    farrier_fail "$stage" "$log" "$1"
    farrier_leave
}

while [ ! -e stop ]; do
    sleep "$tick"
    lines=$(wc -l <"$log" 2>/dev/null || echo 0)
    if [ "$lines" -gt "$seen" ]; then
        sed -n "$((seen + 1)),${lines}p" "$log" >new
        seen=$lines
        quiet=0
    elif [ "$lines" -lt "$seen" ]; then
        # the log was begun anew
        seen=0
        continue
    else
        : >new
        quiet=$((quiet + tick))
    fi
    item=$(sed -n "s/.*main-menu.*Menu item '\([^']*\)' selected.*/\1/p" new | tail -n 1)
    if [ -n "$item" ]; then
        next=$(word "$item")
        if [ "$next" != "$stage" ]; then
            stage=$next
            beat=0
        fi
    fi
    # One component may fail and be tried again by itself; what main-menu says is final.
    failed=$(sed -n \
        -e "s/.*main-menu.*\(Menu item '[^']*' failed\).*/\1/p" \
        -e "s/.*main-menu.*\(Configuring '[^']*' failed with error code [0-9]*\).*/\1/p" \
        -e 's/.*\(error: exiting on error [a-z/_-]*\).*/\1/p' new | head -n 1)
    [ -z "$failed" ] || fail "$failed"
    if at_a_dialog; then
        dialog=$((dialog + tick))
    else
        dialog=0
    fi
    if [ "$dialog" -ge "${FARRIER_DIALOG:-60}" ]; then
        fail "the installer shows a dialog that nobody answers"
    fi
    if [ "${SILENCE:-20}" -gt 0 ] && [ "$quiet" -ge "$((${SILENCE:-20} * 60))" ]; then
        fail "nothing was logged for ${SILENCE:-20} minutes: the installer probably waits at a question"
    fi
    if [ "$beat" -le 0 ]; then
        farrier_progress "$stage" "$(tail -n 1 "$log" | cut -c 1-200)"
        beat=60
    fi
    beat=$((beat - tick))
done
