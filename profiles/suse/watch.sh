#!/bin/sh
# Runs beside the installer, Agama or YaST: says where it stands, and notices when it failed or has said
# nothing for too long. Neither reports a failure by itself.
cd "${FARRIER_DIR:-/run/farrier}" || exit 1
FARRIER_DIR=$PWD
. ./farrier.env
. ./report.sh

tick=${FARRIER_TICK:-5}
proc=${FARRIER_PROC:-/proc}
y2log=${FARRIER_LOG_DIR:-/var/log/YaST2}/y2log
stage=partition
told=
quiet=0
beat=60
began=
gone=0
seen=x

# The log of the installer, its last lines. The key of an encrypted disk, if it was logged, is not sent.
lines() {
    case $INSTALLER in
        agama) journalctl --no-pager --output=short -n "$1" -u 'agama*' 2>/dev/null ;;
        *) tail -n "$1" "$y2log" 2>/dev/null ;;
    esac | sed 's/farrier-key-[0-9a-f]*/(key)/g'
}

# Why it is over, if it is.
over() {
    case $INSTALLER in
        agama)
            ! systemctl is-failed --quiet agama-autoinstall.service || echo "Agama's installation failed"
            ;;
        *)
            # a script of Ruby's: its name is in the command line only. It may be started once more.
            if grep -qs 'bin/[y]2start' "$proc"/[0-9]*/cmdline; then
                began=1
                gone=0
            elif [ -n "$began" ]; then
                gone=$((gone + tick))
            fi
            [ "$gone" -lt 60 ] || echo "YaST is gone before the system was installed"
            ;;
    esac
}

# word TEXT: the stage that it belongs to.
word() {
    case $1 in
        *[Pp]artition* | *libstorage* | *"reparing disks"*) echo partition ;;
        *ootloader* | *"boot loader"*) echo bootloader ;;
        *nstalling\ *oftware* | *ackage* | *RPM* | *rpm*) echo packages ;;
        *onfigur* | *inish*) echo configure ;;
        *) echo "$stage" ;;
    esac
}

fail() {
    lines 2000 >installer.log
    if [ "$ENCRYPT" != none ]; then
        # shellcheck disable=SC2086 # a list of files
        sed -i 's/farrier-key-[0-9a-f]*/(key)/g' $FARRIER_LOGS 2>/dev/null
    fi
    tail -n 200 installer.log >failed.log
    farrier_fail "$stage" failed.log "$1"
    farrier_leave
}

while [ ! -e stop ]; do
    sleep "$tick"
    line=$(lines 1)
    if [ "$line" = "$seen" ]; then
        quiet=$((quiet + tick))
    else
        quiet=0
        seen=$line
    fi
    stage=$(word "$line")
    over >why
    if [ -s why ] && [ ! -e stop ]; then
        fail "$(cat why)"
    fi
    if [ "$SILENCE" -gt 0 ] && [ "$quiet" -ge $((SILENCE * 60)) ]; then
        fail "the installer has logged nothing for $SILENCE minutes"
    fi
    beat=$((beat - tick))
    if [ "$stage" != "$told" ] || [ "$beat" -le 0 ]; then
        farrier_progress "$stage" "$(printf '%s' "$line" | cut -c 1-200)"
        told=$stage
        beat=60
    fi
done
