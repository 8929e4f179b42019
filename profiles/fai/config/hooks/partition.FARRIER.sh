# Sourced before setup-storage: nothing on this machine was written yet, and nothing will be before
# Farrier named the one disk that may be.

# Percent-encode all but unreserved characters.
farrier_encode() {
    local LC_ALL=C s=$1 out='' c i
    for ((i = 0; i < ${#s}; i++)); do
        c=${s:i:1}
        case $c in
            [A-Za-z0-9._~/:,-]) out+=$c ;;
            *)
                printf -v c '%d' "'$c"
                printf -v c '%%%02X' $((c & 255))
                out+=$c
                ;;
        esac
    done
    printf '%s' "$out"
}

# The first MiB of a disk or partition can be read and is all zero.
farrier_zero() {
    dd if="$1" bs=1M count=1 >/dev/null 2>&1 || return 1
    [ "$(head -c 4096 "$1" | wc -c)" -ge 512 ] || return 1
    [ "$(head -c 1048576 "$1" | tr -d '\0' | head -c 1 | wc -c)" -eq 0 ]
}

# A value of what blkid said, which is in `probe`.
farrier_said() {
    sed -n "s/^$1=//p" <<<"$probe" | head -n 1
}

# What one disk, partition or volume of kind TYPE holds, a word to a line, as report.sh of the other
# profiles says it: the names of blkid and wipefs, and `unknown` for what they have no name for, also where
# blkid finds several signatures and so names none.
farrier_holds() {
    local node=$1 type=$2 probe code=0
    wipefs --no-act --noheadings --output TYPE "$node" 2>/dev/null
    probe=$(blkid -p -o export "$node" 2>/dev/null) || code=$?
    case $code in 0 | 2) ;; *) echo unknown ;; esac
    printf '%s\n' "$probe" | sed -n -e 's/^TYPE=//p' -e 's/^PTTYPE=//p'
    case $(farrier_said LABEL) in
        MGS | *[-:=]OST[0-9a-f][0-9a-f][0-9a-f][0-9a-f] | *[-:=]MDT[0-9a-f][0-9a-f][0-9a-f][0-9a-f]) echo lustre ;;
    esac
    # of volumes their partition has said what holds them
    case $type in disk | part) ;; *) return ;; esac
    case $code in 0 | 2) ;; *) return ;; esac
    [ -z "$(farrier_said TYPE)" ] || return
    case $(farrier_said PART_ENTRY_TYPE) in
        37affc90-ef7d-4e96-91c3-2d7ae055b174) echo gpfs ;;
        aa31e02a-400f-11db-9590-000c2911d1b8) echo vmfs ;;
        # raw by design: BIOS boot, PReP, Microsoft's reserve; and what holds the partitions after it
        21686148-6449-6e6f-744e-656564454649 | 9e1a2d38-c612-4316-aa26-8b49521e5a8b | 0x41) ;;
        e3c9e316-0b5c-4db8-817d-f92df00215ae | 0x5 | 0xf | 0x85) ;;
        '') [ -n "$(farrier_said PTTYPE)" ] || farrier_zero "$node" || echo unknown ;;
        *) farrier_zero "$node" || echo unknown ;;
    esac
}

# What a disk, its partitions and their volumes hold, with commas.
farrier_contents() {
    local disk=$1 node type found
    found=$(
        lsblk -nrpo PATH,TYPE "$disk" | while read -r node type; do
            farrier_holds "$node" "$type"
        done | tr -d ' ' | grep . | sed 's/^PMBR$/gpt/' | sort -u | paste -sd, -
    )
    printf '%s' "${found:-blank}"
}

# One column of lsblk for one disk, without surrounding blanks.
farrier_column() {
    local value
    value=$(lsblk --nodeps --noheadings --bytes --output "$1" "$2" 2>/dev/null)
    value=${value#"${value%%[![:space:]]*}"}
    farrier_encode "${value%"${value##*[![:space:]]}"}"
}

# Its other paths, with commas.
farrier_links() {
    udevadm info --query=symlink --name="$1" 2>/dev/null | tr ' ' '\n' |
        sed -n -e 's/[%=&+]/_/g' -e 's,^disk/,/dev/disk/,p' | paste -sd, -
}

farrier_disks() {
    local disk type ro bus
    lsblk --nodeps --noheadings --raw --output PATH,TYPE,RO | while read -r disk type ro; do
        [ "$type" = disk ] && [ "$ro" = 0 ] || continue
        case $disk in /dev/fd* | /dev/ram* | /dev/zram* | /dev/loop*) continue ;; esac
        [ "$(blockdev --getsize64 "$disk" 2>/dev/null || echo 0)" -gt 0 ] || continue
        bus=$(farrier_column TRAN "$disk")
        # lsblk says nvme also of what is reached over a network
        case $disk in
            /dev/nvme*)
                bus=$(cat "/sys/block/${disk#/dev/}/device/transport" \
                    "/sys/block/${disk#/dev/}"/device/nvme*/transport 2>/dev/null | grep -vx pcie | head -n 1)
                bus=nvme${bus:+-$bus}
                ;;
        esac
        [ -n "$bus" ] || case $disk in
            /dev/vd*) bus=virtio ;;
            /dev/xvd*) bus=xen ;;
            *) bus=unknown ;;
        esac
        printf 'path=%s size=%s serial=%s model=%s wwn=%s bus=%s removable=%s contents=%s links=%s\n' \
            "$(farrier_encode "$disk")" "$(blockdev --getsize64 "$disk")" \
            "$(farrier_column SERIAL "$disk")" "$(farrier_column MODEL "$disk")" \
            "$(farrier_column WWN "$disk")" "$bus" "$(farrier_column RM "$disk")" \
            "$(farrier_encode "$(farrier_contents "$disk")")" "$(farrier_links "$disk")"
    done
}

# Learn which disk may be written, and which other one of a mirror. Sets farrier_disk and
# farrier_second, or does not come back.
farrier_permission() {
    udevadm settle --timeout=30
    farrier_disks >"$LOGDIR/farrier-disks"
    echo "Disks of this machine:"
    cat "$LOGDIR/farrier-disks"
    [ -s "$LOGDIR/farrier-disks" ] || die "This machine shows no disk that can be written."
    local code
    code=$(farrier_ask disks "$LOGDIR/farrier-disks" "$LOGDIR/farrier-answer" 24)
    case $code in
        200) ;;
        409) die "Refused: $(head -c 2000 "$LOGDIR/farrier-answer")" ;;
        *) die "Asking for a disk was answered with HTTP status $code." ;;
    esac
    farrier_disk=$(sed -n 's/^disk=//p' "$LOGDIR/farrier-answer" | head -n 1)
    farrier_second=$(sed -n 's/^second=//p' "$LOGDIR/farrier-answer" | head -n 1)
    local disk
    for disk in "$farrier_disk" ${farrier_second:+"$farrier_second"}; do
        grep -qF "path=$(farrier_encode "$disk") " "$LOGDIR/farrier-disks" ||
            die "Farrier named the disk '$disk', which this machine did not report."
        [ -b "$disk" ] || die "$disk is not a block device."
    done
}

# Let go of what an earlier system built on the disk, then forget it.
farrier_release() {
    local disk=$1 name type
    lsblk -nrpo NAME,TYPE "$disk" | tac | awk '!seen[$1]++' | while read -r name type; do
        swapoff "$name" 2>/dev/null
        case $type in
            lvm | crypt | dm | mpath) dmsetup remove --retry "$name" ;;
            raid* | linear) mdadm --stop "$name" ;;
        esac
    done
    lsblk -nrpo NAME,TYPE "$disk" | awk '$2 == "part" {print $1}' | while read -r name; do
        wipefs --all --force --quiet "$name"
    done
    wipefs --all --force --quiet "$disk" || die "$disk cannot be written."
    blockdev --rereadpt "$disk" 2>/dev/null
    udevadm settle --timeout=30
}

# Whether what is to open the encrypted disk from then on is there, while nothing is lost yet; and the key
# that opens it until it is bound. It is made here, kept in memory, and never sent anywhere.
farrier_prepare_key() {
    local url
    case ${FARRIER_ENCRYPT:-none} in
        none) return ;;
        tpm2)
            modprobe -q -a tpm_crb tpm_tis
            udevadm settle --timeout=30
            [ -e /dev/tpmrm0 ] || die "The disk is to be opened by a TPM 2, and this machine shows none."
            ;;
        tang)
            for url in $FARRIER_TANG; do
                curl --silent --fail --output /dev/null --retry 3 --retry-all-errors --retry-delay 5 \
                    --connect-timeout 10 --max-time 60 "${url%/}/adv" && break
                url=
            done
            [ -n "$url" ] || die "The disk is to be opened by a Tang server, and none answers: $FARRIER_TANG"
            ;;
    esac
    (umask 077 && head -c 64 /dev/urandom | sha256sum | cut -c 1-64 | tr -d '\n' >/run/farrier-key)
}

# setup-storage takes a volume group of the name that it makes for its own, whatever disk it is on, and
# removes what is in it.
farrier_elsewhere() {
    grep -rqs '^vg vg0 ' "$FAI/disk_config" || return
    pvs --noheadings --separator ' ' -o pv_name,vg_name 2>/dev/null | while read -r pv vg; do
        [ "$vg" = vg0 ] || continue
        lsblk -nrspo NAME,TYPE "$pv" | awk '$2 == "disk" {print $1}'
    done | grep -vxF -e "$farrier_disk" ${farrier_second:+-e "$farrier_second"} | sort -u | paste -sd' ' -
}

farrier_permission
elsewhere=$(farrier_elsewhere)
[ -z "$elsewhere" ] ||
    die "The volume group is called vg0, and $elsewhere has one of that name already, which would be removed: take it out, or rename it."
farrier_prepare_key
farrier_progress partition
farrier_release "$farrier_disk"
[ -z "$farrier_second" ] || farrier_release "$farrier_second"
# setup-storage sees these disks and no other.
disklist="${farrier_disk#/dev/}${farrier_second:+ ${farrier_second#/dev/}}"
# What of the two the scripts after it may write.
export FARRIER_DISKS="$farrier_disk${farrier_second:+ $farrier_second}"
echo "Farrier: $FARRIER_DISKS"
