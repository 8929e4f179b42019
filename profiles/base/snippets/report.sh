# How an installer speaks with Farrier. POSIX sh; needs curl, or wget as GNU has it.
# Sourced after REPORT and ANSWERS are set (farrier.env). Nothing here prints those addresses.

FARRIER_DIR=${FARRIER_DIR:-/tmp/farrier}

# farrier_ask PATH BODY ANSWER: one report; sets farrier_status (000: no answer).
farrier_ask() {
    : >"$3"
    if command -v curl >/dev/null 2>&1; then
        farrier_status=$(curl --silent --connect-timeout 10 --max-time 60 \
            --header 'Content-Type: text/plain' --data-binary "@$2" \
            --output "$3" --write-out '%{http_code}' "$REPORT/$1" 2>/dev/null) || true
    else
        farrier_said=$FARRIER_DIR/said.$$
        if wget --server-response --content-on-error --tries=1 --timeout=60 \
            --header='Content-Type: text/plain' --post-file="$2" \
            --output-document="$3" "$REPORT/$1" >"$farrier_said" 2>&1; then
            farrier_status=200
        else
            farrier_status=$(sed -n 's,^ *HTTP/[0-9.]* *\([0-9][0-9][0-9]\).*,\1,p' "$farrier_said" | tail -n 1)
        fi
        rm -f "$farrier_said"
    fi
    farrier_status=${farrier_status:-000}
}

# farrier_post PATH [BODY] [ANSWER]: reports until it is acknowledged or refused, two minutes at
# most. True if it was acknowledged.
farrier_post() {
    farrier_try=0
    while :; do
        farrier_ask "$1" "${2:-/dev/null}" "${3:-/dev/null}"
        case $farrier_status in
            2??) return 0 ;;
            408 | 425 | 429) ;;
            4??) return 1 ;;
        esac
        farrier_try=$((farrier_try + 1))
        [ "$farrier_try" -lt "${FARRIER_TRIES:-12}" ] || return 1
        sleep "${FARRIER_PAUSE:-10}"
    done
}

# farrier_progress STAGE [DETAIL]: a report that holds nothing up and may be lost.
farrier_progress() {
    printf '%s\n' "${2:-}" >"$FARRIER_DIR/progress.$$"
    farrier_ask "progress/$1" "$FARRIER_DIR/progress.$$" /dev/null
    rm -f "$FARRIER_DIR/progress.$$"
}

# farrier_scrub FILE...: takes the addresses of this build out of logs.
farrier_scrub() {
    for farrier_file; do
        [ -f "$farrier_file" ] || continue
        sed -i 's,\(https*://[^/ ]*/[a-z]/\)[A-Za-z0-9_-]\{20\,\},\1(token),g' "$farrier_file" 2>/dev/null || true
    done
}

# farrier_tail LOG: the end of a log as it may be sent, 16 KiB at most.
farrier_tail() {
    tail -c 16384 "$1" 2>/dev/null | tr -d '\000' |
        sed 's,\(https*://[^/ ]*/[a-z]/\)[A-Za-z0-9_-]\{20\,\},\1(token),g'
}

# farrier_bundle FILE...: sends logs as one file, before a failure is reported: then nothing more is
# heard. It may be lost. Each is cut to its last 4 MiB, and the addresses of this build are taken out.
farrier_bundle() {
    farrier_logs=$FARRIER_DIR/bundle.$$
    rm -rf "$farrier_logs"
    mkdir -p "$farrier_logs" || return 0
    for farrier_file; do
        [ -s "$farrier_file" ] || continue
        tail -c 4194304 "$farrier_file" |
            sed 's,\(https*://[^/ ]*/[a-z]/\)[A-Za-z0-9_-]\{20\,\},\1(token),g' \
                >"$farrier_logs/${farrier_file##*/}" 2>/dev/null || true
    done
    # Debian's installer has no gzip: there it is one text, each log after its name
    if command -v gzip >/dev/null 2>&1; then
        (cd "$farrier_logs" && tar -cf - . | gzip -c) >"$farrier_logs.out" 2>/dev/null || true
    else
        for farrier_file in "$farrier_logs"/*; do
            echo "==> ${farrier_file##*/} <=="
            cat "$farrier_file"
        done 2>/dev/null | tail -c 8388608 >"$farrier_logs.out"
    fi
    if [ -s "$farrier_logs.out" ] && [ "$(wc -c <"$farrier_logs.out")" -le 8388608 ]; then
        farrier_ask bundle "$farrier_logs.out" /dev/null
    fi
    rm -rf "$farrier_logs" "$farrier_logs.out"
}

# farrier_fail STAGE LOG SENTENCE: says that the installation failed, and why.
farrier_fail() {
    echo "Farrier: the installation failed in stage $1: $3"
    # shellcheck disable=SC2086 # a list of files
    farrier_bundle "$2" ${FARRIER_LOGS:-/var/log/partman /var/log/hardware-summary $FARRIER_DIR/disks \
        $FARRIER_DIR/late.log $FARRIER_DIR/watch.log}
    {
        farrier_tail "$2"
        echo
        echo "$3"
    } | tail -c 16384 >"$FARRIER_DIR/failure.$$"
    farrier_post "fail/$1" "$FARRIER_DIR/failure.$$" ||
        echo "Farrier: the failure could not be reported (HTTP status $farrier_status)."
    rm -f "$FARRIER_DIR/failure.$$"
}

# farrier_leave: leaves this machine to its firmware. Does not come back.
farrier_leave() {
    sync
    sleep 1
    case ${ON_FAILURE:-reboot} in
        poweroff) poweroff -f ;;
        halt) halt -f ;;
        *) reboot -f ;;
    esac
    sleep 60
    echo b >/proc/sysrq-trigger
}

# farrier_get NAME FILE: a document of this build.
farrier_get() {
    farrier_try=0
    while :; do
        if command -v curl >/dev/null 2>&1; then
            curl --silent --fail --connect-timeout 10 --max-time 120 --output "$2" "$ANSWERS/$1" 2>/dev/null && return 0
        else
            wget --quiet --tries=1 --timeout=60 --output-document="$2" "$ANSWERS/$1" 2>/dev/null && return 0
        fi
        farrier_try=$((farrier_try + 1))
        [ "$farrier_try" -lt "${FARRIER_TRIES:-12}" ] || return 1
        sleep "${FARRIER_PAUSE:-10}"
    done
}

# farrier_encode TEXT: percent-encoded, as one word of a report.
farrier_encode() {
    printf '%s' "$1" | sed -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' \
        -e 's/%/%25/g' -e 's/ /%20/g' -e 's/	/%09/g' -e 's/=/%3D/g' -e 's/&/%26/g' -e 's/+/%2B/g' |
        tr -d '\000-\037\177-\377'
}

# farrier_property NAME DEVICE: what udev knows of a device.
farrier_property() {
    udevadm info --query=property --name="$2" 2>/dev/null | sed -n "s/^$1=//p" | head -n 1
}

# farrier_said NAME: a value of what blkid said last.
farrier_said() {
    printf '%s\n' "$farrier_probe" | sed -n "s/^$1=//p" | head -n 1
}

# farrier_zero DEVICE: its first MiB can be read and is all zero.
farrier_zero() {
    dd if="$1" bs=1048576 count=1 >/dev/null 2>&1 || return 1
    [ "$(dd if="$1" bs=4096 count=1 2>/dev/null | wc -c)" -ge 512 ] || return 1
    [ "$(dd if="$1" bs=1048576 count=1 2>/dev/null | tr -d '\000' | head -c 1 | wc -c)" -eq 0 ]
}

# farrier_holds DEVICE: what one disk or partition holds, a word to a line: blkid's names, and `unknown` for
# what it has no name for. Several signatures at once are `unknown` too, with a name for each.
farrier_holds() {
    farrier_code=0
    farrier_probe=$(blkid -p -o export "$1" 2>/dev/null) || farrier_code=$?
    case $farrier_code in
        0 | 2) ;;
        *)
            # 8: more than one signature, of which blkid then names none
            echo unknown
            if command -v wipefs >/dev/null 2>&1; then
                wipefs --no-act --noheadings --output TYPE "$1" 2>/dev/null || true
            else
                # asked for by name it says yes or no; these are what the server protects most
                for farrier_word in VMFS VMFS_volume_member zfs_member gfs gfs2 ocfs ocfs2 drbd \
                    ceph_bluestore oracleasm vxfs BitLocker; do
                    blkid -p -n "$farrier_word" -o value -s TYPE "$1" 2>/dev/null || true
                done
            fi
            return 0
            ;;
    esac
    printf '%s\n' "$farrier_probe" | sed -n -e 's/^TYPE=//p' -e 's/^PTTYPE=//p'
    # an object store's file system looks like any other, but for its label
    case $(farrier_said LABEL) in
        MGS | *[-:=]OST[0-9a-f][0-9a-f][0-9a-f][0-9a-f] | *[-:=]MDT[0-9a-f][0-9a-f][0-9a-f][0-9a-f]) echo lustre ;;
    esac
    [ -z "$(farrier_said TYPE)" ] || return 0
    case $(farrier_said PART_ENTRY_TYPE) in
        # no signature, but the partition table says whose it is
        37affc90-ef7d-4e96-91c3-2d7ae055b174) echo gpfs ;;
        aa31e02a-400f-11db-9590-000c2911d1b8) echo vmfs ;;
        # raw by design and made anew by whoever boots from them: BIOS boot, PReP, Microsoft's reserve
        21686148-6449-6e6f-744e-656564454649 | 9e1a2d38-c612-4316-aa26-8b49521e5a8b | 0x41) ;;
        e3c9e316-0b5c-4db8-817d-f92df00215ae) ;;
        # holds the partitions after it
        0x5 | 0xf | 0x85) ;;
        # a disk, or a disk's image inside a partition
        '') [ -n "$(farrier_said PTTYPE)" ] || farrier_zero "$1" || echo unknown ;;
        *) farrier_zero "$1" || echo unknown ;;
    esac
}

# farrier_contents DEVICE SYS: what a disk and its partitions hold, with commas. A protective MBR is what a
# GPT leaves when it was wiped.
farrier_contents() {
    farrier_found=$(
        for farrier_node in "$1" "$2"/*/partition; do
            case $farrier_node in
                */partition)
                    [ -e "$farrier_node" ] || continue
                    farrier_node=${farrier_node%/partition}
                    farrier_node=/dev/$(echo "${farrier_node##*/}" | tr '!' '/')
                    ;;
            esac
            # a partition that cannot be looked at is not known to be empty
            if [ -b "$farrier_node" ]; then farrier_holds "$farrier_node"; else echo unknown; fi
        done | tr -d ' ' | sed -e '/^$/d' -e 's/^PMBR$/gpt/' | sort -u
    )
    # one line, with commas
    # shellcheck disable=SC2086
    printf '%s' "$(echo ${farrier_found:-blank} | tr ' ' ',')"
}

# farrier_serial DEVICE SYS: its serial number. Without udev a SCSI disk's is in a page of its answers to
# inquiries only, after four bytes.
farrier_serial() {
    # of a SAS disk the short one is its world-wide name, and this the number on its label
    farrier_word=$(farrier_property ID_SCSI_SERIAL "$1")
    [ -n "$farrier_word" ] || farrier_word=$(farrier_property ID_SERIAL_SHORT "$1")
    [ -n "$farrier_word" ] || farrier_word=$(farrier_property ID_SERIAL "$1")
    [ -n "$farrier_word" ] || farrier_word=$(cat "$2/serial" "$2/device/serial" 2>/dev/null | head -n 1)
    [ -n "$farrier_word" ] || farrier_word=$(tail -c +5 "$2/device/vpd_pg80" 2>/dev/null | tr -d '\000')
    printf '%s' "$farrier_word"
}

# farrier_wwn DEVICE SYS: its world-wide name, as udev writes it: the kernel says naa.5000c5.. of what is
# 0x5000c5...
farrier_wwn() {
    farrier_word=$(farrier_property ID_WWN_WITH_EXTENSION "$1")
    [ -n "$farrier_word" ] || farrier_word=$(farrier_property ID_WWN "$1")
    [ -n "$farrier_word" ] || farrier_word=$(cat "$2/wwid" "$2/device/wwid" 2>/dev/null | head -n 1)
    case $farrier_word in
        naa.*) farrier_word=0x${farrier_word#naa.} ;;
    esac
    printf '%s' "$farrier_word"
}

# farrier_disks: one line for every disk that could be written. /sys is the witness, udev fills in.
farrier_disks() {
    for farrier_sys in "${FARRIER_SYS:-/sys}"/block/*; do
        farrier_name=${farrier_sys##*/}
        case $farrier_name in
            fd* | ram* | zram* | loop* | sr* | dm-* | md* | nbd* | mtd* | '*') continue ;;
        esac
        farrier_size=$(cat "$farrier_sys/size" 2>/dev/null || echo 0)
        [ "$farrier_size" -gt 0 ] || continue
        [ "$(cat "$farrier_sys/ro" 2>/dev/null || echo 0)" = 0 ] || continue
        # a path of a multipath NVMe drive has no device of its own
        [ "$(cat "$farrier_sys/hidden" 2>/dev/null || echo 0)" = 0 ] || continue
        farrier_disk=/dev/$(echo "$farrier_name" | tr '!' '/')
        [ -b "$farrier_disk" ] || continue
        farrier_model=$(cat "$farrier_sys/device/model" 2>/dev/null || true)
        [ -n "$farrier_model" ] || farrier_model=$(farrier_property ID_MODEL "$farrier_disk")
        printf 'path=%s size=%s serial=%s model=%s wwn=%s bus=%s removable=%s contents=%s links=%s\n' \
            "$farrier_disk" "$((farrier_size * 512))" \
            "$(farrier_encode "$(farrier_serial "$farrier_disk" "$farrier_sys")")" \
            "$(farrier_encode "$farrier_model")" \
            "$(farrier_encode "$(farrier_wwn "$farrier_disk" "$farrier_sys")")" \
            "$(farrier_bus "$farrier_name" "$farrier_disk" "$farrier_sys")" \
            "$(cat "$farrier_sys/removable" 2>/dev/null || echo 0)" \
            "$(farrier_contents "$farrier_disk" "$farrier_sys")" "$(farrier_links "$farrier_disk")"
    done
}

# farrier_links DEVICE: its other paths, with commas.
farrier_links() {
    udevadm info --query=symlink --name="$1" 2>/dev/null | tr ' ' '\n' |
        sed -n -e 's/[%=&+]/_/g' -e 's,^disk/,/dev/disk/,p' | tr '\n' ',' | sed 's/,$//'
}

# farrier_bus NAME DEVICE SYS: how a disk is attached.
farrier_bus() {
    case $1 in
        vd*) echo virtio && return ;;
        xvd*) echo xen && return ;;
        nvme*)
            # over a network it is not this machine's own; a disk with several paths has a subsystem for
            # its device, and each path of that its transport
            farrier_word=$(cat "$3/device/transport" "$3"/device/nvme*/transport 2>/dev/null | grep -v '^pcie$' | head -n 1)
            echo "nvme${farrier_word:+-$farrier_word}"
            return
            ;;
        mmcblk*) echo mmc && return ;;
    esac
    case $(readlink -f "$3/device" 2>/dev/null) in
        */usb[0-9]*) echo usb ;;
        */ata[0-9]*) echo sata ;;
        */session[0-9]*) echo iscsi ;;
        */rport-*) echo fc ;;
        */end_device-*) echo sas ;;
        */virtio[0-9]*) echo virtio ;;
        *) farrier_word=$(farrier_property ID_BUS "$2"); echo "${farrier_word:-unknown}" ;;
    esac
}

# farrier_permit: asks which disk may be written. Sets farrier_disk, and farrier_second for a mirror's
# other disk (empty without one); or farrier_reason and fails.
# shellcheck disable=SC2034 # read by who sources this
farrier_permit() {
    farrier_disk=
    farrier_second=
    farrier_disks >"$FARRIER_DIR/disks"
    cat "$FARRIER_DIR/disks"
    farrier_post disks "$FARRIER_DIR/disks" "$FARRIER_DIR/permit" || {
        case $farrier_status in
            409) farrier_reason="refused: $(head -c 2000 "$FARRIER_DIR/permit")" ;;
            *) farrier_reason="asking for a disk was answered with HTTP status $farrier_status" ;;
        esac
        return 1
    }
    farrier_disk=$(sed -n 's/^disk=//p' "$FARRIER_DIR/permit" | head -n 1)
    farrier_second=$(sed -n 's/^second=//p' "$FARRIER_DIR/permit" | head -n 1)
    for farrier_named in "$farrier_disk" ${farrier_second:+"$farrier_second"}; do
        grep -qF "path=$farrier_named " "$FARRIER_DIR/disks" && [ -b "$farrier_named" ] && continue
        farrier_reason="the server named the disk '$farrier_named', which this machine did not report"
        return 1
    done
}

# farrier_opener: whether what is to open the encrypted disks (ENCRYPT, TANG) is there, while nothing is
# lost yet. Sets farrier_reason and fails if not.
# shellcheck disable=SC2034 # read by who sources this
farrier_opener() {
    case ${ENCRYPT:-none} in
        tpm2)
            [ ! -e "${FARRIER_TPM:-/dev/tpmrm0}" ] || return 0
            farrier_reason='the disk is to be opened by a TPM 2, and this machine shows none'
            ;;
        tang)
            farrier_try=0
            while [ "$farrier_try" -lt 3 ]; do
                for farrier_url in $TANG; do
                    if command -v curl >/dev/null 2>&1; then
                        curl --silent --fail --connect-timeout 10 --max-time 60 --output /dev/null "${farrier_url%/}/adv" && return 0
                    else
                        wget --quiet --tries=1 --timeout=60 --output-document=/dev/null "${farrier_url%/}/adv" && return 0
                    fi
                done
                farrier_try=$((farrier_try + 1))
                sleep "${FARRIER_PAUSE:-10}"
            done
            farrier_reason="the disk is to be opened by a Tang server, and none answers: $TANG"
            ;;
        *) return 0 ;;
    esac
    return 1
}

# farrier_key FILE: a key that this machine makes up.
farrier_key() {
    (umask 077 && head -c 64 /dev/urandom | sha256sum | cut -c 1-64 | tr -d '\n' >"$1")
}
