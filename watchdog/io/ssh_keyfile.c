/*
 * ssh_keyfile.c
 *	  What kind of key a file holds, told before it is needed.
 *
 * libssh2 has one message for a missing passphrase, for RSA that today's
 * OpenSSH refuses, and for a file that is no key at all; and OpenSSL would
 * ask for the passphrase of an encrypted PEM key on the terminal, which stops
 * the loop.  So the file is looked at first.  Of the private part nothing is
 * decoded, and nothing of it is kept.
 *
 * OpenSSH's format is base64 of "openssh-key-v1\0", string cipher, string kdf,
 * string kdfoptions, uint32 nkeys, string public key (which begins with string
 * type).  The PEM forms are told apart by their first line, PKCS#8 by the
 * object identifier inside.
 */
#include "ssh_keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libssh2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ssh.h"

#define FILE_MAX 16384
#define FIRST_WITH_RSA_SHA2 0x010b00	/* libssh2 1.11.0 */

/* Decodes base64 up to the first '-' (the END line); 0 on a bad character. */
static size_t
decode_base64(const char *text, unsigned char *buf, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t	bits = 0;
	int			nbits = 0;
	size_t		n = 0;

	for (; *text != '\0' && *text != '-' && *text != '='; text++)
	{
		const char *digit;

		if (*text == '\n' || *text == '\r' || *text == ' ')
			continue;
		digit = strchr(digits, *text);
		if (digit == NULL || n >= size)
			return 0;
		bits = (bits << 6) | (uint32_t) (digit - digits);
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			buf[n++] = (unsigned char) (bits >> nbits);
		}
	}
	return n;
}

/* A length-prefixed string at *at; NULL where it does not fit. */
static const unsigned char *
take_string(const unsigned char *buf, size_t len, size_t *at, size_t *ret_len)
{
	size_t		n;
	const unsigned char *s;

	if (len - *at < 4)
		return NULL;
	n = (size_t) buf[*at] << 24 | (size_t) buf[*at + 1] << 16 | (size_t) buf[*at + 2] << 8 | buf[*at + 3];
	if (len - *at - 4 < n)
		return NULL;
	s = buf + *at + 4;
	*at += 4 + n;
	*ret_len = n;
	return s;
}

static bool
parse_openssh(const unsigned char *buf, size_t len, RgSshKeyfile *key)
{
	static const char magic[] = "openssh-key-v1";	/* with its zero */
	const unsigned char *s;
	size_t		at = sizeof(magic);
	size_t		blob_at = 0;
	size_t		n;

	if (len < sizeof(magic) || memcmp(buf, magic, sizeof(magic)) != 0)
		return false;
	s = take_string(buf, len, &at, &n);
	if (s == NULL)
		return false;
	key->is_encrypted = n != 4 || memcmp(s, "none", 4) != 0;
	if (take_string(buf, len, &at, &n) == NULL || take_string(buf, len, &at, &n) == NULL || len - at < 4)
		return false;
	at += 4;					/* the number of keys, always 1 */
	s = take_string(buf, len, &at, &n);
	if (s == NULL || n > sizeof(key->blob))
		return false;
	memcpy(key->blob, s, n);
	key->blob_len = n;
	s = take_string(key->blob, key->blob_len, &blob_at, &n);
	if (s == NULL || n >= sizeof(key->type))
		return false;
	memcpy(key->type, s, n);
	key->type[n] = '\0';
	return true;
}

static bool
parse_pkcs8(const unsigned char *buf, size_t len, RgSshKeyfile *key)
{
	static const struct
	{
		const char *oid;
		size_t		len;
		const char *type;
	}			oids[] = {
		{"\x06\x03\x2b\x65\x70", 5, "ssh-ed25519"},
		{"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", 9, "ecdsa-sha2"},
		{"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 11, "ssh-rsa"},
	};

	/* the algorithm stands within the first bytes, before the key itself */
	for (size_t i = 0; i < sizeof(oids) / sizeof(oids[0]); i++)
		if (memmem(buf, len < 32 ? len : 32, oids[i].oid, oids[i].len) != NULL)
		{
			strcpy(key->type, oids[i].type);
			return true;
		}
	return false;
}

static bool
parse(const char *text, RgSshKeyfile *key)
{
	unsigned char buf[FILE_MAX];
	const char *begin = strstr(text, "-----BEGIN ");
	const char *body = begin != NULL ? strchr(begin, '\n') : NULL;
	bool		is_known = true;
	size_t		len;

	if (body == NULL)
		return false;
	if (strncmp(begin, "-----BEGIN OPENSSH PRIVATE KEY-----", 35) == 0)
	{
		len = decode_base64(body, buf, sizeof(buf));
		is_known = parse_openssh(buf, len, key);
		explicit_bzero(buf, sizeof(buf));
	}
	else if (strncmp(begin, "-----BEGIN PRIVATE KEY-----", 27) == 0)
	{
		len = decode_base64(body, buf, sizeof(buf));
		is_known = parse_pkcs8(buf, len, key);
		explicit_bzero(buf, sizeof(buf));
	}
	else if (strncmp(begin, "-----BEGIN RSA PRIVATE KEY-----", 31) == 0)
		strcpy(key->type, "ssh-rsa");
	else if (strncmp(begin, "-----BEGIN EC PRIVATE KEY-----", 30) == 0)
		strcpy(key->type, "ecdsa-sha2");
	else if (strncmp(begin, "-----BEGIN DSA PRIVATE KEY-----", 31) == 0)
		strcpy(key->type, "ssh-dss");
	else if (strncmp(begin, "-----BEGIN ENCRYPTED PRIVATE KEY-----", 37) == 0)
		key->is_encrypted = true;
	else
		is_known = false;
	if (strncmp(body + 1, "Proc-Type: 4,ENCRYPTED", 22) == 0)
		key->is_encrypted = true;
	return is_known;
}

static int
read_text(const char *path, char *text, size_t size, RgError *err)
{
	struct stat st;
	ssize_t		n;
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) != 0)
	{
		rg_error_set(err, RGE_IO, "could not open key file \"%s\": %s", path, strerror(errno));
		rg_error_hint(err, "Make a key for regentd, as the user that it runs as: "
					  "ssh-keygen -t ed25519 -N '' -f %s", path);
		if (fd >= 0)
			close(fd);
		return RGE_IO;
	}
	if (S_ISREG(st.st_mode) && (st.st_mode & 077) != 0)
	{
		close(fd);
		rg_error_set(err, RGE_TRUST, "key file \"%s\" can be read by others (mode %04o)", path,
					 (unsigned) (st.st_mode & 07777));
		rg_error_hint(err, "chmod 600 %s", path);
		return RGE_TRUST;
	}
	n = S_ISREG(st.st_mode) ? read(fd, text, size - 1) : -1;
	close(fd);
	if (n < 0)
		return rg_error_set(err, RGE_IO, "could not read key file \"%s\": %s", path,
							S_ISREG(st.st_mode) ? strerror(errno) : "not a regular file");
	text[n] = '\0';
	return 0;
}

/* Says why libssh2 can't use the key, if it can't. */
static void
judge(const char *path, RgSshKeyfile *key, RgError *err)
{
	rg_error_clear(err);
	if (strcmp(key->type, "ssh-rsa") == 0 && libssh2_version(FIRST_WITH_RSA_SHA2) == NULL)
	{
		rg_error_set(err, RGE_TRUST, "key file \"%s\" holds an RSA key, which can't be used", path);
		rg_error_detail(err, "libssh2 %s signs with RSA only by SHA-1, which OpenSSH refuses since 8.8.",
						libssh2_version(0));
	}
	else if (key->type[0] != '\0' && strcmp(key->type, "ssh-ed25519") != 0 &&
			 strcmp(key->type, "ssh-rsa") != 0 && strncmp(key->type, "ecdsa-sha2", 10) != 0)
		rg_error_set(err, RGE_TRUST, "key file \"%s\" holds a key of type %s, which can't be used",
					 path, key->type);
	else if (key->is_encrypted)
	{
		rg_error_set(err, RGE_TRUST, "key file \"%s\" has a passphrase, which nobody could type in", path);
		rg_error_hint(err, "Load it into an ssh-agent that regentd finds by SSH_AUTH_SOCK, or take the "
					  "passphrase away: ssh-keygen -p -N '' -f %s", path);
		return;
	}
	else
	{
		key->is_usable = true;
		return;
	}
	rg_error_hint(err, "Make an Ed25519 key: ssh-keygen -t ed25519 -N '' -f %s.new; put %s.new.pub into "
				  "authorized_keys on every node; then set ssh_key = %s.new", path, path, path);
}

int
rg_ssh_keyfile_read(const char *path, RgSshKeyfile *ret_key, RgError *err)
{
	RgSshKeyfile key = {.is_usable = false};
	char		text[FILE_MAX];
	int			rc = read_text(path, text, sizeof(text), err);

	if (rc != 0)
		return rc;
	if (!parse(text, &key))
	{
		rg_error_set(err, RGE_FORMAT, "file \"%s\" holds no private key that is known", path);
		rg_error_hint(err, "ssh_key names the private key, not the .pub file; "
					  "look at it with: ssh-keygen -y -f %s", path);
		rc = RGE_FORMAT;
	}
	explicit_bzero(text, sizeof(text));
	if (rc != 0)
		return rc;
	judge(path, &key, err);
	*ret_key = key;
	return 0;
}

int
rg_ssh_key_check(const char *key_file, RgError *err)
{
	RgSshKeyfile key;
	RgError		reason;
	int			rc = rg_ssh_keyfile_read(key_file, &key, &reason);

	if (rc == 0 && !key.is_usable)
		rc = reason.code;
	if (rc != 0 && err != NULL)
		*err = reason;
	return rc;
}
