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

udevadm settle --timeout=30 || true
if farrier_permit && farrier_opener; then
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
    # partman asks before it replaces what lvm and md hold; let go of it first
    vgchange -an >/dev/null 2>&1 || true
    echo "$farrier_disk" >permitted
    echo "${farrier_second:-}" >second
    farrier_progress partition "$farrier_disk${farrier_second:+ $farrier_second}"
    exit 0
fi
farrier_fail partition /var/log/syslog "$farrier_reason"
farrier_leave
