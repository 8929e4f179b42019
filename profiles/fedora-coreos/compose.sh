#!/bin/sh
# compose.sh CONFIG ROOT: prints a configuration of Ignition that is CONFIG and, besides, has every file,
# folder and link below ROOT.
set -eu

base64 -w0 <"$1" >base
printf '{"ignition":{"version":"3.3.0","config":{"merge":[{"source":"data:;base64,'
cat base
printf '"}]}},"storage":{"files":['
comma=
find "$2" -type f | sort | while read -r file; do
    mode=$(stat -c %a "$file")
    printf '%s{"path":"%s","mode":%d,"overwrite":true,"contents":{"source":"data:;base64,' "$comma" "${file#"$2"}" "0$mode"
    base64 -w0 <"$file"
    printf '"}}'
    comma=,
done
printf '],"links":['
and=
find "$2" -type l | sort | while read -r link; do
    printf '%s{"path":"%s","overwrite":true,"target":"%s"}' "$and" "${link#"$2"}" "$(readlink "$link")"
    and=,
done
printf '],"directories":['
more=
find "$2" -mindepth 2 -type d -perm 0700 | sort | while read -r folder; do
    printf '%s{"path":"%s","mode":448}' "$more" "${folder#"$2"}"
    more=,
done
printf ']}}\n'
