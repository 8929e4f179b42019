/* Stands for a program that this Windows has not: tells the test how it was called and where (each word
   ended by a NUL), then writes what the test answers and ends with the code on the answer's first line. */
#include <winsock2.h>
#include <windows.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int _dowildcard = 0; /* `*` is a character */

static int asked(SOCKET to, const char *word) {
    int left = (int)strlen(word) + 1;
    while (left > 0) {
        int sent = send(to, word, left, 0);
        if (sent <= 0)
            return 0;
        word += sent;
        left -= sent;
    }
    return 1;
}

int main(int count, char **words) {
    static char text[1 << 16], path[MAX_PATH], folder[MAX_PATH];
    const char *port = getenv("FARRIER_STUBS");
    WSADATA started;
    struct sockaddr_in at = {0};
    int had = 0, got;
    if (!port || WSAStartup(MAKEWORD(2, 2), &started))
        return 98;
    SOCKET to = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_family = AF_INET;
    at.sin_port = htons((unsigned short)atoi(port));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(to, (struct sockaddr *)&at, sizeof at))
        return 97;
    GetModuleFileNameA(NULL, path, sizeof path);
    GetCurrentDirectoryA(sizeof folder, folder);
    if (!asked(to, path) || !asked(to, folder))
        return 96;
    for (int i = 1; i < count; i++)
        if (!asked(to, words[i]))
            return 96;
    shutdown(to, SD_SEND);
    while (had < (int)sizeof text - 1 && (got = recv(to, text + had, (int)sizeof text - 1 - had, 0)) > 0)
        had += got;
    char *end = memchr(text, '\n', (size_t)had);
    if (!end)
        return 95;
    _setmode(_fileno(stdout), _O_BINARY);
    fwrite(end + 1, 1, (size_t)(text + had - end - 1), stdout);
    fflush(stdout);
    return atoi(text);
}
