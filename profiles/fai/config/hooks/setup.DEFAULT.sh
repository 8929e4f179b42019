# Sourced before FAI's first task that may fail: from here on Farrier hears of everything.
. "$FAI/hooks/subroutines"

# FAI waits seven seconds for a person to press Ctrl-C unless a menu was shown.
flag_menu=1

if [ "$do_init_tasks" -eq 1 ]; then
    . "$FAI/machine.env"
    echo "$HOSTNAME" >/proc/sys/kernel/hostname
    {
        echo "FAI $FAI_VERSION, kernel $(uname -r), $(nproc) CPUs, $(awk '/MemTotal/{print int($2/1024)}' /proc/meminfo) MiB"
        cat /sys/class/dmi/id/{sys_vendor,product_name,product_serial} 2>/dev/null
    } >"$LOGDIR/farrier-start"
    farrier_post start "$LOGDIR/farrier-start" || die "Farrier does not answer."
fi
