/*
 * ssh_key.c
 *	  Reads the unencrypted head of a private key file.
 *
 * OpenSSH's own format is base64 of: "openssh-key-v1\0", string cipher, string
 * kdf, string kdf options, uint32 count, string public key, which begins with
 * string type.  The older PEM forms name their type in the first line.  The private
 * part comes behind the public one and is not looked at.
 */
#include "ssh_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_HEAD 4096			/* bytes of the file that are read */
#define BLOB_HEAD 512			/* decoded bytes that are looked at */

static const char begin_openssh[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
static const char magic[] = "openssh-key-v1";

/* Decodes base64 up to a character that is none; returns the number of bytes. */
static size_t
base64_head(const char *text, unsigned char *out, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t	bits = 0;
	int			nbits = 0;
	size_t		used = 0;

	for (; *text != '\0' && used < size; text++)
	{
		const char *digit;

		if (*text == '\n' || *text == '\r')
			continue;
		digit = strchr(digits, *text);
		if (digit == NULL)
			break;
		bits = (bits << 6 | (uint32_t) (digit - digits)) & 0xffffff;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			out[used++] = (unsigned char) (bits >> nbits);
		}
	}
	return used;
}

/* Takes one "string" (length and bytes) at *at; false when it does not fit. */
static bool
take_string(const unsigned char *blob, size_t len, size_t *at, const unsigned char **ret, size_t *ret_len)
{
	size_t		n;

	if (len < 4 || *at > len - 4)
		return false;
	n = (size_t) blob[*at] << 24 | (size_t) blob[*at + 1] << 16
		| (size_t) blob[*at + 2] << 8 | blob[*at + 3];
	*at += 4;
	if (n > len - *at)
		return false;
	*ret = blob + *at;
	*ret_len = n;
	*at += n;
	return true;
}

static bool
parse_blob(const unsigned char *blob, size_t len, RgSshKey *ret_key)
{
	size_t		at = sizeof(magic);
	const unsigned char *cipher,
			   *type,
			   *skipped;
	size_t		cipher_len,
				type_len,
				skipped_len;

	if (len < sizeof(magic) || memcmp(blob, magic, sizeof(magic)) != 0)
		return false;
	if (!take_string(blob, len, &at, &cipher, &cipher_len)
		|| !take_string(blob, len, &at, &skipped, &skipped_len) /* kdf */
		|| !take_string(blob, len, &at, &skipped, &skipped_len))	/* its options */
		return false;
	at += 4 + 4;				/* number of keys, length of the first */
	if (!take_string(blob, len, &at, &type, &type_len) || type_len >= sizeof(ret_key->type))
		return false;
	memcpy(ret_key->type, type, type_len);
	ret_key->type[type_len] = '\0';
	ret_key->is_encrypted = !(cipher_len == 4 && memcmp(cipher, "none", 4) == 0);
	return true;
}

static bool
parse_openssh(const char *text, RgSshKey *ret_key)
{
	unsigned char blob[BLOB_HEAD];
	bool		is_good = parse_blob(blob, base64_head(text, blob, sizeof(blob)), ret_key);

	explicit_bzero(blob, sizeof(blob));	/* the private part may have come along */
	return is_good;
}

static bool
parse_pem(const char *text, RgSshKey *ret_key)
{
	static const struct
	{
		const char *begin;
		const char *type;
	}			forms[] = {
		{"-----BEGIN RSA PRIVATE KEY-----", "ssh-rsa"},
		{"-----BEGIN EC PRIVATE KEY-----", "ecdsa"},
		{"-----BEGIN DSA PRIVATE KEY-----", "ssh-dss"},
		{"-----BEGIN ENCRYPTED PRIVATE KEY-----", "PKCS#8"},
		{"-----BEGIN PRIVATE KEY-----", "PKCS#8"},
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
	{
		if (strncmp(text, forms[i].begin, strlen(forms[i].begin)) != 0)
			continue;
		snprintf(ret_key->type, sizeof(ret_key->type), "%s", forms[i].type);
		ret_key->is_encrypted = strstr(text, "ENCRYPTED") != NULL;
		return true;
	}
	return false;
}

int
rg_ssh_key_read(const char *file, RgSshKey *ret_key, RgError *err)
{
	char		text[FILE_HEAD + 1];
	const char *begin = text;
	RgSshKey	key = {0};
	ssize_t		len;
	bool		is_known;
	int			fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return rg_error_set(err, RGE_IO, "could not open \"%.200s\": %s", file, strerror(errno));
	len = read(fd, text, FILE_HEAD);
	if (len < 0)
	{
		int			saved = errno;

		close(fd);
		return rg_error_set(err, RGE_IO, "could not read \"%.200s\": %s", file, strerror(saved));
	}
	close(fd);
	text[len] = '\0';
	begin += strspn(begin, " \t\r\n");
	if (strncmp(begin, begin_openssh, strlen(begin_openssh)) == 0)
		is_known = parse_openssh(begin + strlen(begin_openssh), &key);
	else
		is_known = parse_pem(begin, &key);
	explicit_bzero(text, sizeof(text));
	if (!is_known)
		return rg_error_set(err, RGE_FORMAT, "\"%.200s\" holds no private key", file);
	*ret_key = key;
	return 0;
}
