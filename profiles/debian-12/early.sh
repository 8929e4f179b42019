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

# After the logs were copied into the installed system, take this build's addresses out of them.
mkdir -p /usr/lib/finish-install.d
cat >/usr/lib/finish-install.d/96farrier <<'END'
#!/bin/sh
. /tmp/farrier/farrier.env
. /tmp/farrier/report.sh
touch /tmp/farrier/stop
farrier_scrub /target/var/log/installer/* /target/var/log/installer/cdebconf/*
exit 0
END
chmod 0755 /usr/lib/finish-install.d/96farrier
exit 0
