/*
 * passfile.c
 *	  The .pgpass format: fields by colons, \ before : and \, # for comments.
 *
 * As libpq does, a file that others can read is not used.
 */
#include "passfile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Takes the field at *at into buf (cut to size), unescaped; *at goes behind its colon. */
static bool
take_field(const char **at, char *buf, size_t size)
{
	size_t		len = 0;
	const char *p = *at;

	for (; *p != '\0' && *p != ':'; p++)
	{
		if (*p == '\\' && p[1] != '\0')
			p++;
		if (len + 1 < size)
			buf[len++] = *p;
	}
	buf[len] = '\0';
	if (*p == ':')
		*at = p + 1;
	else
		*at = p;
	return *p == ':';
}

/* Is the line for this user?  Then its password goes into buf. */
static bool
take_line(const char *line, const char *user, char *buf, size_t size)
{
	char		field[256];

	if (*line == '#')
		return false;
	for (int i = 0; i < 3; i++)
		if (!take_field(&line, field, sizeof(field)))
			return false;
	if (!take_field(&line, field, sizeof(field)) || strcmp(field, user) != 0)
		return false;
	take_field(&line, buf, size);
	explicit_bzero(field, sizeof(field));
	return true;
}

int
rg_passfile_find(const char *file, const char *user, char *buf, size_t size, RgError *err)
{
	struct stat st;
	char		line[RG_PASSWORD_MAX + 512];
	FILE	   *stream;

	buf[0] = '\0';
	if (*file == '\0')
		return 0;
	stream = fopen(file, "re");
	if (stream == NULL && errno == ENOENT)
		return 0;
	if (stream == NULL)
	{
		rg_error_set(err, RGE_IO, "could not open passfile \"%.200s\": %s", file, strerror(errno));
		rg_error_hint(err, "Run this command with sudo.");
		return RGE_IO;
	}
	if (fstat(fileno(stream), &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
	{
		fclose(stream);
		rg_error_set(err, RGE_TRUST, "passfile \"%.200s\" is open to others", file);
		rg_error_hint(err, "chmod 600 %.300s", file);
		return RGE_TRUST;
	}
	setvbuf(stream, NULL, _IONBF, 0);	/* no copy of it stays in a buffer */
	while (fgets(line, sizeof(line), stream) != NULL)
	{
		line[strcspn(line, "\r\n")] = '\0';
		if (take_line(line, user, buf, size))
			break;
	}
	explicit_bzero(line, sizeof(line));
	fclose(stream);
	return 0;
}
