#!/bin/sh
# Runs beside the installer, Agama or YaST: says where it stands, and notices when it failed or has said
# nothing for too long. Neither reports a failure by itself. Agama's system it finishes, and restarts the
# machine: Agama itself, told to stop at its end (inst.finish=stop), leaves it running.
cd "${FARRIER_DIR:-/run/farrier}" || exit 1
FARRIER_DIR=$PWD
. ./farrier.env
. ./report.sh

tick=${FARRIER_TICK:-5}
proc=${FARRIER_PROC:-/proc}
hold=${FARRIER_HOLD:-/farrier-target}
y2log=${FARRIER_LOG_DIR:-/var/log/YaST2}/y2log
stage=partition
told=
quiet=0
beat=60
began=
gone=0
ended=0
early=0
seen=x

# The key of an encrypted disk, if it was logged, is not sent.
keyless() {
    sed 's/farrier-key-[0-9a-f]*/(key)/g'
}

# The log of the installer, its last lines.
lines() {
    case $INSTALLER in
        agama) journalctl --no-pager --output=short -n "$1" -u 'agama*' 2>/dev/null ;;
        *) tail -n "$1" "$y2log" 2>/dev/null ;;
    esac | keyless
}

# What Agama has said since this was asked last and is the end of it. Agama of 16.0 rescues its errors and
# goes on as if all were well; and what it cannot load it asks about, of a person.
trouble() {
    journalctl --no-pager --output=cat --cursor-file=cursor -u 'agama*' 2>/dev/null | keyless |
        grep -m 1 -e 'Installation error:' -e 'Could not load configuration' -e 'Skipping the auto-installation' |
        cut -c 1-500
}

# Why it is over, if it is. Counts how often Agama was seen at a good end.
over() {
    case $INSTALLER in
        agama)
            said=$(trouble)
            if [ -n "$said" ]; then
                echo "Agama says: $said"
            elif systemctl is-failed --quiet agama-autoinstall.service; then
                echo "Agama's installation failed"
            elif systemctl is-active --quiet agama-autoinstall.service; then
                ended=0
                early=0
            elif [ -e held ]; then
                ended=$((ended + 1))
            else
                # systemctl fails also where systemd is too busy to answer
                early=$((early + 1))
                [ "$early" -lt 3 ] || echo "Agama ended before the system was installed"
            fi
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

# The system that Agama made and left, where hold.sh holds it. Does not come back.
finish() {
    lines 2000 >installer.log
    # it reports what fails, and leaves the machine then
    FARRIER_TARGET=$hold sh ./post.sh || exit 1
    sync
    umount -R "$hold" || true
    reboot
    # where the orderly way hangs
    sleep 180
    reboot -f
    exit 1
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
    # twice, so that what it said last has reached the journal
    [ "$ended" -lt 2 ] || finish
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
