#!/usr/bin/env python3
"""permit.py ANSWERS FIRMWARE DISK SECOND [NAME KEY]...

Puts the disks that may be written into the installer's answers, takes out what the other kind of firmware
boots from, and fills in the keys of repositories. Writes the file whole or not at all."""

import os
import sys

import yaml

answers, firmware, first, second = sys.argv[1:5]
keys = sys.argv[5:]
with open(answers, encoding="utf-8") as file:
    document = yaml.safe_load(file)
config = document.get("autoinstall", document)
permitted = {"disk0": first, "disk1": second}
other = "esp" if firmware == "bios" else "bios"
actions = []
for action in config["storage"]["config"]:
    if action["id"].startswith(other):
        continue
    if action["type"] == "disk":
        disk = permitted[action["id"]]
        if not disk:
            sys.exit("the answers want a disk more than is permitted")
        del action["match"]
        action["path"] = disk
        # By UEFI the loader goes to the EFI system partition.
        action["grub_device"] = firmware == "bios"
    actions.append(action)
config["storage"]["config"] = actions
for name, key in zip(keys[::2], keys[1::2]):
    with open(key, encoding="ascii") as file:
        config["apt"]["sources"][name]["key"] = file.read()
with open(answers + ".part", "w", encoding="utf-8") as file:
    yaml.safe_dump(document, file, sort_keys=False, allow_unicode=True)
    file.flush()
    os.fsync(file.fileno())
os.replace(answers + ".part", answers)
