# The lines above say where to ask and whom to trust. Runs in the installer, with busybox's tools and
# either curl or GNU wget; writes into the installed system below TARGET.
set -eu
umask 022

target=${1:-}
# An installer whose hook gives no arguments (Proxmox) has the installed system run this itself.
itself=
if [ $# -eq 0 ] && [ -d /run/systemd/system ] && [ -e "${FARRIER_MARKER:-/var/lib/proxmox-first-boot}" ]; then
    itself=yes
    target=/
fi
if [ -z "$target" ] || [ ! -d "$target/etc" ]; then
    echo "usage: first-boot.sh TARGET, where TARGET holds the installed system" >&2
    exit 64
fi
target=${target%/}

# The hand-off is taken over TLS and from the pinned authority only: the installed system needs a
# program that can check that. busybox's wget cannot.
found=
for tool in usr/bin/curl bin/curl usr/local/bin/curl usr/bin/wget bin/wget; do
    case $(readlink "$target/$tool" 2>/dev/null || true) in
        *busybox*) continue ;;
    esac
    if [ -e "$target/$tool" ] || [ -L "$target/$tool" ]; then
        found=$tool
        break
    fi
done
if [ -z "$found" ]; then
    echo "first-boot.sh: the installed system has neither curl nor GNU wget; add one to its packages" >&2
    exit 1
fi
if curl --version 2>/dev/null | grep -q '^Protocols:.* https'; then
    client=curl
elif wget --version 2>/dev/null | grep -q '+https'; then
    client=wget
else
    echo "first-boot.sh: neither curl nor GNU wget with TLS is here: nothing can check the server's certificate" >&2
    exit 1
fi

case $AUTHORITY in
    '-----BEGIN CERTIFICATE-----'*) ;;
    *)
        echo "first-boot.sh: no certificate came with this script, so the server cannot be known" >&2
        exit 1
        ;;
esac
trust=$target/usr/lib/farrier/trust
mkdir -p "$trust"
printf '%s\n' "$AUTHORITY" >"$trust/ca.crt"
chmod 0644 "$trust/ca.crt"

# Ask where this build's hand-off is; the answer is `handoff=URL`. The address is told on standard
# input, which no list of processes shows. SSL_CERT_*: OpenSSL's own list counts for nothing here.
ask() {
    if [ "$client" = curl ]; then
        printf 'url = "%s/handoff"\n' "$REPORT" |
            SSL_CERT_FILE=$trust/ca.crt SSL_CERT_DIR=$trust \
                curl --disable --config - --silent --show-error --fail --proto '=https' --noproxy '*' \
                --cacert "$trust/ca.crt" --capath "$trust" \
                --connect-timeout 10 --max-time 60 --request POST --data ''
    else
        printf '%s/handoff\n' "$REPORT" |
            SSL_CERT_FILE=$trust/ca.crt SSL_CERT_DIR=$trust \
                wget --no-config --quiet --input-file=- --no-proxy --max-redirect=0 --tries=1 --timeout=60 \
                --ca-certificate="$trust/ca.crt" --ca-directory="$trust" \
                --post-data='' --output-document=-
    fi
}

handoff=
tried=0
while [ -z "$handoff" ]; do
    handoff=$(ask | sed -n 's/^handoff=//p' | head -n 1) || true
    case $handoff in
        https://*) ;;
        *)
            handoff=
            tried=$((tried + 1))
            if [ "$tried" -ge 12 ]; then
                echo "first-boot.sh: the server gave no hand-off, or its certificate is not the pinned one" >&2
                exit 1
            fi
            sleep 5
            ;;
    esac
done

state=$target/var/lib/farrier
mkdir -p "$target/usr/lib/farrier" "$target/etc/systemd/system/multi-user.target.wants" "$state"
chmod 0700 "$state"

# Made once: with it, asking again for the same hand-off gives the same answer.
key=$(sed -n 's/^key=//p' "$state/pending" 2>/dev/null | head -n 1)
if [ -z "$key" ]; then
    if [ ! -c /dev/urandom ]; then
        echo "first-boot.sh: there is no /dev/urandom to make a key from" >&2
        exit 1
    fi
    key=$(dd if=/dev/urandom bs=32 count=1 2>/dev/null | sha256sum | cut -c 1-32)
fi
