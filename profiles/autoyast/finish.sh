#!/bin/sh
# YaST runs this as the first of its finishing steps (autoinst_scripts1). What Farrier does to the installed
# system, and what it reports as the end, belongs to the end: the last step before the disks are unmounted.
# There YaST runs hooks (yast-yast2, library/general/doc/Hooks.md; in every YaST of release 15): it looks for
# them in the installer's file system, and runs the file of the same name in the installed system's. The hook
# has none of the installer's programs, so it only asks, and waits until this side is through.
cd "${FARRIER_DIR:-/run/farrier}" || exit 1
target=${FARRIER_TARGET:-/mnt}
root=${FARRIER_ROOT:-}
hooks=/var/lib/YaST2/hooks/installation
hook=$hooks/before_umount_finish_00_farrier
meet=/var/lib/farrier-finish

if [ ! -d "$root$hooks" ]; then
    # a YaST without hooks: now, or never
    exec sh ./post.sh
fi

mkdir -p "$target$meet" || exit 1
[ -d "$target$hooks" ] || : >"$target$meet/made"
mkdir -p "$target$hooks" || exit 1
for at in "$root$hook" "$target$hook"; do
    cat >"$at" <<'HOOK' || exit 1
#!/bin/sh
# The end of the installation is Farrier's: it is asked for it here, and waited for while it is at work.
root=${FARRIER_ROOT:-}
meet=$root/var/lib/farrier-finish
[ -d "$meet" ] || exit 0
: >"$meet/asked"
while [ ! -e "$meet/done" ] && kill -0 "$(cat "$meet/pid")" 2>/dev/null; do
    sleep 1
done
hooks=$root/var/lib/YaST2/hooks
rm -f "$hooks/installation/before_umount_finish_00_farrier"
[ ! -e "$meet/made" ] || rmdir "$hooks/installation" "$hooks"
rm -rf "$meet"
# YaST would show what failed to nobody
exit 0
HOOK
    chmod 0755 "$at" || exit 1
done

# What waits outlives this script. `post.sh` tells what fails, and then does not come back.
# shellcheck disable=SC2016 # expanded there
MEET=$target$meet setsid sh -c '
    echo "$$" >"$MEET/pid"
    while [ ! -e "$MEET/asked" ]; do
        sleep 1
    done
    sh ./post.sh
    : >"$MEET/done"
' </dev/null >finish.log 2>&1 &
for _ in 1 2 3 4 5 6 7 8 9 10; do
    # the hook gives up where nobody waits
    [ ! -s "$target$meet/pid" ] || exit 0
    sleep 1
done
rm -f "$root$hook" "$target$hook"
rm -rf "$target$meet"
exec sh ./post.sh
