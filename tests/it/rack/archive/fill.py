#!/usr/bin/env python3
"""Makes what a mirror lacks of Debian's installer, so that an installation can go through to its end.

    fill.py MIRROR SUITE IMAGES OUT

Some mirrors keep only a part of the installer's components (udebs), and those of its kernel go first.
Components that are there stay what they are. Kernel modules are put into packages as the components of
another kernel have them, out of the package of the very kernel that the package IMAGES starts. What else the
installer cannot do without is made of the package of the same version. All that is left is taken out
of the index, with what depends on it.

OUT gets `dists/` and `pool/` for a server that looks there before it asks the mirror, `linux` and
`initrd.gz`, and `key.cpio`, a second initial RAM disk that makes the installer believe the index.
"""

import concurrent.futures, gzip, hashlib, lzma, os, re, shutil, subprocess, sys, tempfile, time, urllib.request

mirror, suite, images, out = sys.argv[1:]
work = tempfile.mkdtemp(dir=out)

# component: the package that it is made of, the packages whose libraries it carries, the programs
MADE = {
    "e2fsprogs-udeb": (
        "e2fsprogs",
        ["libext2fs2t64", "libcom-err2", "libss2"],
        r"(sbin/(badblocks|e2fsck|mke2fs|mkfs\.ext.|fsck\.ext.|tune2fs|resize2fs)|etc/mke2fs\.conf|\.so\.)",
    ),
    "xfsprogs-udeb": (
        "xfsprogs",
        ["libinih1", "liburcu8t64"],
        r"(sbin/(mkfs\.xfs|xfs_repair|fsck\.xfs)|\.so\.)",
    ),
    "ntfs-3g-udeb": ("ntfs-3g", ["libntfs-3g89t64"], r"(sbin/(mkntfs|mkfs\.ntfs|ntfsresize)|\.so\.)"),
}


def asked(request, seconds):
    """Its body. One of some hundred questions may find no name server or no line; none is lost by that."""
    for wait in (1, 2, 4, 8, None):
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.read()
        except urllib.error.HTTPError:
            raise
        except OSError:
            if wait is None:
                raise
            time.sleep(wait)


def fetched(path):
    return asked(f"{mirror}/{path}", 120)


def there(stanza):
    """Whether the mirror has it."""
    try:
        asked(urllib.request.Request(f"{mirror}/{stanza['Filename']}", method="HEAD"), 60)
        return True
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return False


def index(path):
    stanzas = lzma.decompress(fetched(path)).decode().strip().split("\n\n")
    fields = lambda text: dict(
        (m[1], m[2].strip()) for m in re.finditer(r"^(\S+?):((?:.*\n?)(?:^ .*\n?)*)", text, re.M)
    )
    return [fields(text) for text in stanzas]


def unpacked(package):
    """A package of the archive, in a folder of its own."""
    folder = f"{work}/{package}"
    if not os.path.exists(folder):
        stanza = next(s for s in packages if s["Package"] == package)
        file = f"{work}/{package}.deb"
        open(file, "wb").write(fetched(stanza["Filename"]))
        subprocess.run(["dpkg-deb", "-x", file, folder], check=True)
        os.remove(file)
    return folder


def built(stanza, folder):
    """A component of this folder; the stanza says where it is from then on."""
    os.makedirs(f"{folder}/DEBIAN")
    left = ("Filename", "Size", "MD5sum", "SHA256", "Description-md5", "Installed-Size")
    stanza = {k: v for k, v in stanza.items() if k not in left}
    with open(f"{folder}/DEBIAN/control", "w") as control:
        control.writelines(f"{k}: {v}\n" for k, v in stanza.items())
    path = f"pool/made/{stanza['Package']}_{stanza['Architecture']}.udeb"
    os.makedirs(f"{out}/pool/made", exist_ok=True)
    build = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--nocheck", "--build", folder]
    subprocess.run([*build, f"{out}/{path}"], check=True, stdout=subprocess.DEVNULL)
    data = open(f"{out}/{path}", "rb").read()
    digest = {"MD5sum": hashlib.md5(data).hexdigest(), "SHA256": hashlib.sha256(data).hexdigest()}
    print("made", stanza["Package"])
    return stanza | {"Filename": path, "Size": str(len(data))} | digest


def taken(source, wanted, target):
    """Copies the files whose paths the pattern finds; the number of them."""
    count = 0
    for base, _, names in os.walk(source):
        for name in names:
            path = os.path.relpath(f"{base}/{name}", source)
            if re.search(wanted, path):
                os.makedirs(os.path.dirname(f"{target}/{path}"), exist_ok=True)
                shutil.copy2(f"{source}/{path}", f"{target}/{path}", follow_symlinks=False)
                count += 1
    return count


def modules(stanza, old, new):
    """The component of another kernel, with this kernel's modules of the same names."""
    with tempfile.TemporaryDirectory(dir=work) as aside:
        open(f"{aside}/old.udeb", "wb").write(fetched(stanza["Filename"]))
        subprocess.run(["dpkg-deb", "-x", f"{aside}/old.udeb", f"{aside}/old"], check=True)
        source = f"{unpacked(f'linux-image-{new}')}"
        found = 0
        for base, _, names in os.walk(f"{aside}/old"):
            for name in names:
                path = os.path.relpath(f"{base}/{name}", f"{aside}/old").replace(old, new)
                stem = re.sub(r"^usr/", "", re.sub(r"\.(xz|gz|zst)$", "", path))
                for at in (p + stem + e for p in ("usr/", "") for e in ("", ".xz")):
                    if os.path.exists(f"{source}/{at}"):
                        os.makedirs(os.path.dirname(f"{aside}/new/{path}"), exist_ok=True)
                        end = re.sub(r"\.(xz|gz|zst)$", "", path) + at[len(at.removesuffix(".xz")) :]
                        shutil.copy2(f"{source}/{at}", f"{aside}/new/{end}")
                        found += 1
                        break
        if not found:
            return None
        change = {k: v.replace(old, new) for k, v in stanza.items()}
        return built(change, f"{aside}/new")


components = index(f"dists/{suite}/main/debian-installer/binary-amd64/Packages.xz")
packages = index(f"dists/{suite}/main/binary-amd64/Packages.xz")
for base, _, names in os.walk(unpacked(images)):
    for name in {"linux", "initrd.gz"} & set(names) if "/text/" in base else ():
        shutil.copy(f"{base}/{name}", f"{out}/{name}")
initrd = f"{out}/initrd.gz"
status = subprocess.run(
    f"zcat {initrd} | cpio --quiet -i --to-stdout var/lib/dpkg/status",
    shell=True, check=True, capture_output=True, text=True,
).stdout
within = set(re.findall(r"^Package: (\S+)", status, re.M))
kernel = next(m[1] for m in (re.match(r"kernel-image-(.*)-di$", n) for n in within) if m)

with concurrent.futures.ThreadPoolExecutor(8) as pool:
    have = dict(zip((s["Package"] for s in components), pool.map(there, components)))

kept = []
kernels = {s["Kernel-Version"] for s in components if "Kernel-Version" in s}
of = lambda k: [s for s in components if s.get("Kernel-Version") == k and "kernel-image" not in s["Package"]]
whole = [k for k in kernels if all(have[s["Package"]] for s in of(k))]
if kernel in whole:
    kept += of(kernel)
else:
    if not whole:
        sys.exit(f"of no kernel are all components there: {sorted(kernels)}")
    # what the initial RAM disk has is not asked for
    wanted = [s for s in of(whole[0]) if s["Package"].replace(whole[0], kernel) not in within]
    kept += filter(None, (modules(s, whole[0], kernel) for s in wanted))
for stanza in components:
    name = stanza["Package"]
    if "Kernel-Version" in stanza:
        continue
    if have[name] or name in within:
        kept.append(stanza)
    elif name in MADE:
        package, libraries, wanted = MADE[name]
        with tempfile.TemporaryDirectory(dir=work) as aside:
            for source in [package, *libraries]:
                taken(unpacked(source), wanted, f"{aside}/new")
            kept.append(built(stanza, f"{aside}/new"))

# what depends on something that is not there goes too, until nothing does
names = lambda s, field: {re.split(r"[ (:]", n.strip())[0] for n in re.split(r"[,|]", s.get(field, "")) if n.strip()}
given = set(re.findall(r"\S+", " ".join(m.replace(",", " ") for m in re.findall(r"^Provides: (.*)", status, re.M))))
while True:
    known = within | given | {s["Package"] for s in kept} | {n for s in kept for n in names(s, "Provides")}
    lost = [s for s in kept if names(s, "Depends") - known and s["Package"] not in within]
    if not lost:
        break
    for stanza in lost:
        print("left out", stanza["Package"], "for want of", *sorted(names(stanza, "Depends") - known))
    kept = [s for s in kept if s not in lost]

text = "\n".join("".join(f"{k}: {v}\n" for k, v in s.items()) for s in kept).encode()
at = f"main/debian-installer/binary-amd64/Packages"
files = {at: text, f"{at}.xz": lzma.compress(text), f"{at}.gz": gzip.compress(text)}
top = f"{out}/dists/{suite}"
for path, data in files.items():
    os.makedirs(os.path.dirname(f"{top}/{path}"), exist_ok=True)
    open(f"{top}/{path}", "wb").write(data)

# The installer reads Release and its detached signature for this index, and InRelease for everything
# else, which stays Debian's.
release = []
algorithm = None
for line in fetched(f"dists/{suite}/Release").decode().splitlines():
    head = re.match(r"(MD5Sum|SHA1|SHA256|SHA512):", line)
    algorithm = head[1].lower().replace("md5sum", "md5") if head else algorithm
    entry = re.match(r" \S+ +\d+ (\S+)$", line)
    if entry and entry[1] in files:
        data = files[entry[1]]
        line = f" {hashlib.new(algorithm, data).hexdigest()} {len(data):8} {entry[1]}"
    release.append(line + "\n")
open(f"{top}/Release", "w").writelines(release)

home = f"{work}/gnupg"
os.makedirs(home, mode=0o700)
gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
subprocess.run([*gpg, "--quick-generate-key", "archive", "rsa2048", "sign", "1d"], check=True)
subprocess.run([*gpg, "--detach-sign", "--output", f"{top}/Release.gpg", f"{top}/Release"], check=True)
# the link of this name is made when the installer starts, unless there is something
ring = "usr/share/keyrings/archive.gpg"
shown = subprocess.run(
    f"zcat {initrd} | cpio --quiet -i --to-stdout 'usr/share/keyrings/debian-archive-keyring.[gp]*'",
    shell=True, check=True, capture_output=True,
).stdout
mine = subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout
subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
os.makedirs(os.path.dirname(f"{work}/key/{ring}"))
open(f"{work}/key/{ring}", "wb").write(shown + mine)
subprocess.run(
    "find usr | cpio --quiet -o -H newc", shell=True, check=True, cwd=f"{work}/key", stdout=open(f"{out}/key.cpio", "wb"),
)
shutil.rmtree(work)
print(f"{len(kept)} components, kernel {kernel}")
