#!/bin/sh
# preseed/early_command: the network is up and nothing else has happened. Says that the installer
# runs, and starts the watch.
cd /tmp/farrier || exit 1
. ./farrier.env
. ./report.sh

{
    echo "debian-installer, kernel $(uname -r)"
    dmesg 2>/dev/null | grep -i 'secure boot' | tail -n 1
} >start
farrier_post start start || echo "Farrier: the start could not be reported (HTTP status $farrier_status)"

# Its own session, so that it outlives this command; nothing of debconf's may reach it.
sh ./watch.sh </dev/null >/tmp/farrier/watch.log 2>&1 3>&- &

# What is left to do to the installed system, and the report of the end, come when the installer is through
# with it: after finish-install's other parts (microcode, the initial RAM disk, its logs at 94), before
# the disks are unmounted at 95. preseed/late_command comes at 7.
mkdir -p /usr/lib/finish-install.d
cat >/usr/lib/finish-install.d/94z-farrier <<'END'
#!/bin/sh
[ -e /tmp/farrier/late.log ] || sh /tmp/farrier/late.sh
exit 0
END
chmod 0755 /usr/lib/finish-install.d/94z-farrier
exit 0
