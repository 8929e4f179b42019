# What every agent's step has in common. It is sourced.

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
