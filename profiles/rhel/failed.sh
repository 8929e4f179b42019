#!/bin/sh
# %onerror: Anaconda failed. Reports it with the ends of its logs, and leaves the machine to its firmware.
cd "${FARRIER_DIR:-/tmp/farrier}" || exit 1
. ./farrier.env
. ./report.sh

logs=${FARRIER_LOG_DIR:-/tmp}
touch stop
stage=$(cat stage 2>/dev/null || echo partition)
for log in program.log packaging.log storage.log anaconda.log; do
    [ -s "$logs/$log" ] || continue
    echo "==> $log"
    tail -n 30 "$logs/$log"
done >failed.log 2>/dev/null
for trace in "$logs"/anaconda-tb-*; do
    [ -f "$trace" ] || continue
    echo "==> ${trace##*/}"
    head -n 40 "$trace"
done >>failed.log 2>/dev/null
why=$(grep -h -e ' CRT ' -e 'CRITICAL' -e ' ERR ' "$logs/anaconda.log" 2>/dev/null | tail -n 1 | cut -c 1-300)
farrier_fail "$stage" failed.log "${why:-Anaconda stopped with an error}"
farrier_leave
