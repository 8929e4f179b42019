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

# What a disk and its partitions hold, as blkid and wipefs name it.
farrier_contents() {
    local disk=$1 node found
    found=$(
        for node in $(lsblk -nrpo PATH "$disk"); do
            wipefs --noheadings --output TYPE "$node" 2>/dev/null
            blkid -p -o value -s TYPE -s PTTYPE "$node" 2>/dev/null
        done | tr -d ' ' | grep . | grep -vx PMBR | sort -u | paste -sd, -
    )
    if [ -n "$found" ]; then
        printf '%s' "$found"
    elif head -c 1048576 "$disk" | tr -d '\0' | grep -q .; then
        printf unknown
    else
        printf blank
    fi
}

# One column of lsblk for one disk, without surrounding blanks.
farrier_column() {
    local value
    value=$(lsblk --nodeps --noheadings --bytes --output "$1" "$2" 2>/dev/null)
    value=${value#"${value%%[![:space:]]*}"}
    farrier_encode "${value%"${value##*[![:space:]]}"}"
}

farrier_disks() {
    local disk type ro bus
    lsblk --nodeps --noheadings --raw --output PATH,TYPE,RO | while read -r disk type ro; do
        [ "$type" = disk ] && [ "$ro" = 0 ] || continue
        case $disk in /dev/fd* | /dev/ram* | /dev/zram* | /dev/loop*) continue ;; esac
        [ "$(blockdev --getsize64 "$disk" 2>/dev/null || echo 0)" -gt 0 ] || continue
        bus=$(farrier_column TRAN "$disk")
        [ -n "$bus" ] || case $disk in
            /dev/vd*) bus=virtio ;;
            /dev/xvd*) bus=xen ;;
            *) bus=unknown ;;
        esac
        printf 'path=%s size=%s serial=%s model=%s wwn=%s bus=%s removable=%s contents=%s\n' \
            "$(farrier_encode "$disk")" "$(blockdev --getsize64 "$disk")" \
            "$(farrier_column SERIAL "$disk")" "$(farrier_column MODEL "$disk")" \
            "$(farrier_column WWN "$disk")" "$bus" "$(farrier_column RM "$disk")" \
            "$(farrier_encode "$(farrier_contents "$disk")")"
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

farrier_permission
farrier_prepare_key
farrier_progress partition
farrier_release "$farrier_disk"
[ -z "$farrier_second" ] || farrier_release "$farrier_second"
# setup-storage sees these disks and no other.
disklist="${farrier_disk#/dev/}${farrier_second:+ ${farrier_second#/dev/}}"
# What of the two the scripts after it may write.
export FARRIER_DISKS="$farrier_disk${farrier_second:+ $farrier_second}"
echo "Farrier: $FARRIER_DISKS"
