#!/bin/sh
# partman/early_command: reports the disks and asks which one may be written. Until the server has
# named one, nothing is written; if it names none, the machine is restarted rather than left at a
# question that nobody sees.
cd /tmp/farrier || exit 1
. ./farrier.env
. ./report.sh

# passphrase TEXT: answers both of partman's questions. Not as debconf-set does, which leaves them to be
# asked, nor as preseeding does, which writes every answer to a log.
passphrase() {
    cat >passphrase.sh <<'END'
#!/bin/sh
set -e
export DEBIAN_FRONTEND=noninteractive
. /usr/share/debconf/confmodule
for question in partman-crypto/passphrase partman-crypto/passphrase-again; do
    db_set "$question" "$1"
    db_fset "$question" seen true
done
END
    chmod 0755 passphrase.sh
    ./passphrase.sh "$1"
}

# ours: a program that says whether a block device is a permitted disk, or is made of parts of such alone.
ours() {
    {
        echo '#!/bin/sh'
        echo "disks=' $farrier_disk $farrier_second '"
        echo "sys='${FARRIER_SYS:-/sys}/class/block'"
        cat <<'END'
ours() (
    case $disks in *" /dev/$1 "*) exit 0 ;; esac
    name=$(echo "$1" | tr '/' '!')
    if [ ! -e "$sys/$name" ]; then
        # the installer's /dev/mapper has nodes, not links to /dev/dm-0
        for known in "$sys"/dm-*/dm/name; do
            if [ -e "$known" ] && [ "$(cat "$known")" = "${1#mapper/}" ]; then
                name=${known%/dm/name}
                name=${name##*/}
            fi
        done
    fi
    if [ -e "$sys/$name/partition" ]; then
        whole=$(dirname "$(readlink -f "$sys/$name")")
        ours "$(basename "$whole" | tr '!' '/')" && exit 0
        exit 1
    fi
    code=1
    for slave in "$sys/$name/slaves"/*; do
        [ -e "$slave" ] || continue
        code=0
        ours "$(basename "$slave" | tr '!' '/')" || exit 1
    done
    exit $code
)
device=$(readlink -f "$1") && ours "${device#/dev/}"
END
    } >ours
    chmod 0755 ours
}

# hide: from here on the installer sees no disk but the permitted ones. Else it would format swap and take
# the ESP of any, and remove groups and arrays whose members' names begin as the permitted disk's does.
hide() {
    farrier_real=$(command -v parted_devices) || {
        farrier_reason='partman has no parted_devices by which it sees the disks'
        return 1
    }
    if [ ! -e "$farrier_real.all" ]; then
        mv "$farrier_real" "$farrier_real.all"
        cat >"$farrier_real" <<END
#!/bin/sh
$farrier_real.all "\$@" | while IFS= read -r line; do
    $PWD/ours "\${line%%	*}" && printf '%s\n' "\$line"
done
true
END
        chmod 0755 "$farrier_real"
    fi
    if command -v pvs >/dev/null 2>&1; then
        groups || return 1
        farrier_only=
        for farrier_named in $farrier_disk $farrier_second; do
            case $farrier_named in
                *[0-9]) farrier_part=p ;;
                *) farrier_part= ;;
            esac
            farrier_only="$farrier_only\"a|^$farrier_named\$|\", \"a|^$farrier_named${farrier_part}[0-9]*\$|\", "
        done
        # nothing else is assembled or opened, so that what these are made of is ours
        farrier_only="global_filter = [ $farrier_only\"a|^/dev/md|\", \"a|^/dev/mapper/|\", \"a|^/dev/dm-|\", \"r|.*|\" ]"
        mkdir -p /etc/lvm
        if grep -q '^devices {' /etc/lvm/lvm.conf 2>/dev/null; then
            sed -i "/^devices {/a $farrier_only" /etc/lvm/lvm.conf
        else
            printf 'devices {\n%s\n}\n' "$farrier_only" >>/etc/lvm/lvm.conf
        fi
    fi
    # partman assembles every array that it finds, unless this says that it has
    if command -v mdadm >/dev/null 2>&1; then
        modprobe md-mod >/dev/null 2>&1 || true
        for farrier_node in "${FARRIER_SYS:-/sys}"/block/md*; do
            [ ! -d "$farrier_node/slaves" ] || mdadm --stop "/dev/${farrier_node##*/}" || true
        done
        sed -n 's,^ .* ,/dev/,p' /proc/partitions >nodes
        while read -r farrier_node; do
            ! ./ours "$farrier_node" || mdadm --zero-superblock --force "$farrier_node" >/dev/null 2>&1 || true
        done <nodes
        mkdir -p /dev/md /var/lib/partman
        : >/var/lib/partman/md
    fi
}

# groups: whether the volume groups that are there leave the permitted disks to us.
groups() {
    # partman asks before it replaces what LVM holds; let go of it first
    vgchange -an >/dev/null 2>&1 || true
    pvs --noheadings --separator ' ' -o pv_name,vg_name >groups.all 2>/dev/null || true
    : >groups.ours
    : >groups.other
    while read -r farrier_node farrier_group; do
        [ -n "$farrier_group" ] || continue
        if ./ours "$farrier_node"; then echo "$farrier_group" >>groups.ours; else echo "$farrier_group" >>groups.other; fi
    done <groups.all
    while read -r farrier_group; do
        grep -qxF "$farrier_group" groups.other || continue
        farrier_reason="the volume group '$farrier_group' is on the permitted disk and on another: take the other out, or wipe the group by hand"
        return 1
    done <groups.ours
    [ -n "$VG" ] || return 0
    if grep -qxF "$VG" groups.other || { [ -e "/dev/$VG" ] && ! grep -qxF "$VG" groups.ours; }; then
        farrier_reason="the volume group is to be called '$VG' as the machine is, and another disk has one of that name, or it is a device's: the machine would not find its own"
        return 1
    fi
}

udevadm settle --timeout=30 || true
if farrier_permit && farrier_opener && ours && hide; then
    if [ "$ENCRYPT" != none ]; then
        # opens the disk until late.sh has bound it; never sent anywhere
        farrier_key key
        passphrase "$(cat key)"
    fi
    debconf-set partman-auto/disk "$farrier_disk${farrier_second:+ $farrier_second}"
    debconf-set grub-installer/bootdev "$farrier_disk${farrier_second:+ $farrier_second}"
    # What the firmware needs comes first, where the disk is or becomes one with a GPT.
    # shellcheck disable=SC2016 # it is partman that reads them
    if [ -d "${FARRIER_SYS:-/sys}/firmware/efi" ]; then
        first='538 538 538 free $iflabel{ gpt } $reusemethod{ } method{ efi } format{ } .'
    else
        first='1 1 1 free $iflabel{ gpt } $reusemethod{ } method{ biosgrub } .'
    fi
    recipe=$(debconf-get partman-auto/expert_recipe)
    debconf-set partman-auto/expert_recipe "farrier :: $first ${recipe#*::}"
    echo "$farrier_disk" >permitted
    echo "${farrier_second:-}" >second
    farrier_progress partition "$farrier_disk${farrier_second:+ $farrier_second}"
    exit 0
fi
farrier_fail partition /var/log/syslog "$farrier_reason"
farrier_leave
