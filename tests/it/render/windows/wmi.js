function GetObject(name) {
    if (name !== "winmgmts:\\\\.\\root\\cimv2") {
        throw new Error(name);
    }
    return {ExecQuery: asked};
}

function asked(query) {
    if (query === "SELECT * FROM Win32_DiskDrive") {
        return [
            {DeviceID: "\\\\.\\PHYSICALDRIVE0", Index: 0, Size: "8000000000", SerialNumber: null, Model: "A stick", InterfaceType: "USB", MediaType: "Removable Media"},
            {DeviceID: "\\\\.\\PHYSICALDRIVE1", Index: 1, Size: "64000000000", SerialNumber: "  S 1%", Model: "QEMU HARDDISK", InterfaceType: "SCSI", MediaType: "Fixed hard disk media"},
            {DeviceID: "\\\\.\\PHYSICALDRIVE2", Index: 2, Size: "1000", SerialNumber: "S2", InterfaceType: null, MediaType: null}
        ];
    }
    var found = ANSWERS[query];
    if (found === undefined) {
        throw new Error(query);
    }
    return found;
}

function parts(disk) {
    return "ASSOCIATORS OF {Win32_DiskDrive.DeviceID='\\\\\\\\.\\\\PHYSICALDRIVE" + disk + "'} WHERE AssocClass=Win32_DiskDriveToDiskPartition";
}

function volumes(part) {
    return "ASSOCIATORS OF {Win32_DiskPartition.DeviceID='" + part + "'} WHERE AssocClass=Win32_LogicalDiskToPartition";
}

var ANSWERS = {};
ANSWERS[parts(0)] = [];
ANSWERS[parts(1)] = [{DeviceID: "p0", Type: "GPT: System"}, {DeviceID: "p1", Type: "GPT: Basic Data"}, {DeviceID: "p2", Type: "GPT: Unknown"}];
ANSWERS[parts(2)] = [{DeviceID: "p3", Type: "Installable File System"}];
ANSWERS[volumes("p0")] = [];
ANSWERS[volumes("p1")] = [{FileSystem: "NTFS"}];
ANSWERS[volumes("p2")] = [];
ANSWERS[volumes("p3")] = [{FileSystem: null}];

function Enumerator(list) {
    var at = 0;
    this.atEnd = function () { return at >= list.length; };
    this.moveNext = function () { at++; };
    this.item = function () { return list[at]; };
}
