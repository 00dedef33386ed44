/*
 * notify SOCKET FILE: what systemd would hear. Appends every datagram that comes to SOCKET to FILE.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	struct sockaddr_un where = { .sun_family = AF_UNIX };
	char text[4096];
	ssize_t len;
	int sock, file;

	if (argc != 3 || strlen(argv[1]) >= sizeof(where.sun_path))
		return 2;
	memcpy(where.sun_path, argv[1], strlen(argv[1]));
	file = open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0644);
	sock = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (file == -1 || sock == -1 || bind(sock, (struct sockaddr *)&where, sizeof(where)) != 0) {
		perror(argv[1]);
		return 1;
	}
	(void)chmod(argv[1], 0666);
	while ((len = recv(sock, text, sizeof(text) - 1, 0)) >= 0) {
		text[len] = '\n';
		if (write(file, text, (size_t)len + 1) == -1)
			return 1;
	}
	return 1;
}
