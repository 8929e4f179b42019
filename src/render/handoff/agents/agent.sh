# What every agent's step has in common. It is sourced.

# An agent makes files as it would when its service runs it; the unit's own mask is for secrets.
umask 022

# What is wrong now, in a sentence: it is what is reported if the step ends or is stopped.
reason() {
    printf '%s\n' "$*" >"$FARRIER_REASON_FILE"
    echo "farrier: $*"
}

# Nothing is wrong any more.
well() {
    rm -f "$FARRIER_REASON_FILE"
}

# succeed CLASS CODE: how it went, with the agent's own code.
succeed() {
    well
    printf '%s %s\n' "$1" "$2" >"$FARRIER_CLASS_FILE"
    exit 0
}

# Longer and longer, a minute at most: a server that is down is asked again without end, for the
# time of the whole hand-off is limited.
waits=1
backoff() {
    echo "farrier: again in $waits s"
    sleep "$waits"
    waits=$((waits * 2))
    [ "$waits" -le "${FARRIER_PAUSE:-60}" ] || waits=${FARRIER_PAUSE:-60}
}

now() {
    date +%s
}

# answers URL CA: whether a server that the CA vouches for answers with success; else its own words on
# standard output.
answers() {
    if command -v curl >/dev/null 2>&1; then
        curl --disable --silent --show-error --fail --noproxy '*' --cacert "$2" \
            --connect-timeout 10 --max-time 30 --output /dev/null "$1" 2>&1 | tail -n 1 >answers.said
        [ ! -s answers.said ] && return 0
    else
        wget --no-config --no-verbose --no-proxy --ca-certificate="$2" --tries=1 --timeout=30 \
            --output-document=/dev/null "$1" >answers.said 2>&1 && return 0
    fi
    tail -n 1 answers.said
    return 1
}

# enrol FILE URL: sends this machine's public key to its server, which makes the agent's server accept
# it. That is durable there at once, so the key and its marker are made durable here first: after a power
# cut another key would be one too many. The address is a secret: it is told on standard input, which no list of processes shows. Asks
# until that is done; ends the step if it is refused.
enrol() {
    # it is elsewhere where /usr is read-only
    trust=${FARRIER_TRUST:-/usr/lib/farrier/trust}
    sync
    while :; do
        if command -v curl >/dev/null 2>&1; then
            status=$(printf 'url = "%s/enrol"\n' "$2" |
                SSL_CERT_FILE=$trust/ca.crt SSL_CERT_DIR=$trust \
                    curl --disable --config - --silent --proto '=https' --noproxy '*' \
                    --cacert "$trust/ca.crt" --capath "$trust" --connect-timeout 20 --max-time 60 \
                    --header 'Content-Type: text/plain' --data-binary "@$1" \
                    --output enrol.said --write-out '%{http_code}')
        else
            status=000
            printf '%s/enrol\n' "$2" |
                SSL_CERT_FILE=$trust/ca.crt SSL_CERT_DIR=$trust \
                    wget --no-config --input-file=- --no-proxy --max-redirect=0 --server-response \
                    --ca-certificate="$trust/ca.crt" --ca-directory="$trust" --tries=1 --timeout=60 \
                    --header='Content-Type: text/plain' --post-file="$1" \
                    --output-document=enrol.said >enrol.log 2>&1 && status=200
            [ "$status" = 200 ] || status=$(sed -n 's,.*HTTP/[0-9.]* *\([0-9][0-9][0-9]\).*,\1,p' enrol.log | tail -n 1)
        fi
        case ${status:-000} in
            2??)
                well
                return 0
                ;;
            408 | 425 | 429) ;;
            4??)
                reason "the server refused this machine's key: $(head -n 1 enrol.said 2>/dev/null)"
                exit 1
                ;;
        esac
        reason "the server does not accept this machine's key yet (HTTP status ${status:-000}): $(head -n 1 enrol.said 2>/dev/null)"
        backoff
    done
}

# once FILE: whether what FILE marks is not of this build.
once() {
    [ "$(cat "$1" 2>/dev/null)" != "$BUILD" ]
}
