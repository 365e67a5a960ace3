/*
 * ssh_hostkey.c
 *	  Host keys: what known_hosts says, and what to do when it says no.
 *
 * Matching (plain and hashed names) is libssh2's; the file is read here,
 * line by line, since libssh2 gives up the whole file for one line that it does
 * not know, and takes "@revoked" for a host's name.  A revoked key is refused
 * whatever its line's host pattern says.  Certificate authorities and
 * patterns with * or ? are not understood: such a host counts as unknown.
 *
 * As with OpenSSH the name is "host" for port 22 and "[host]:port" for others,
 * and nothing is ever added to the file: an unknown key is an error that names
 * the commands which add it after a person has compared it.
 */
#include "ssh_hostkey.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KNOWN_LINE_MAX 16384
#define KNOWN_LINES_MAX 100000
#define REVOKED_MAX 64
#define FIRST_WITH_RSA_SHA2 0x010b00	/* libssh2 1.11.0 */

struct RgSshHostkeys
{
	LIBSSH2_KNOWNHOSTS *known;
	char		name[300];		/* as known_hosts has it */
	int			ntypes;			/* types of key that it has for this host */
	char	   *revoked[REVOKED_MAX];	/* base64 */
	int			nrevoked;
};

/* Best first; keygen is what ssh-keygen and ssh-keyscan call it. */
static const struct
{
	int			key_mask;
	int			hostkey_type;
	const char *method;
	const char *keygen;
}			types[] =
{
	{LIBSSH2_KNOWNHOST_KEY_ED25519, LIBSSH2_HOSTKEY_TYPE_ED25519, "ssh-ed25519", "ed25519"},
	{LIBSSH2_KNOWNHOST_KEY_ECDSA_256, LIBSSH2_HOSTKEY_TYPE_ECDSA_256, "ecdsa-sha2-nistp256", "ecdsa"},
	{LIBSSH2_KNOWNHOST_KEY_ECDSA_384, LIBSSH2_HOSTKEY_TYPE_ECDSA_384, "ecdsa-sha2-nistp384", "ecdsa"},
	{LIBSSH2_KNOWNHOST_KEY_ECDSA_521, LIBSSH2_HOSTKEY_TYPE_ECDSA_521, "ecdsa-sha2-nistp521", "ecdsa"},
	/* as with user keys, RSA needs SHA-2 signatures, which libssh2 1.10 does not have */
	{LIBSSH2_KNOWNHOST_KEY_SSHRSA, LIBSSH2_HOSTKEY_TYPE_RSA, "rsa-sha2-512,rsa-sha2-256", "rsa"},
};

#define NTYPES ((int) (sizeof(types) / sizeof(types[0])))

static bool
is_supported(int i)
{
	return types[i].key_mask != LIBSSH2_KNOWNHOST_KEY_SSHRSA || libssh2_version(FIRST_WITH_RSA_SHA2) != NULL;
}

static int
look_up(const RgSshHostkeys *hk, const char *key, size_t len, int mask)
{
	return libssh2_knownhost_check(hk->known, hk->name, key, len,
								   LIBSSH2_KNOWNHOST_TYPE_PLAIN | mask, NULL);
}

/* Has known_hosts a key of this type for the host?  A key that can't exist "mismatches" then. */
static bool
has_type(const RgSshHostkeys *hk, int i)
{
	return look_up(hk, "AAAA", 4, LIBSSH2_KNOWNHOST_KEYENC_BASE64 | types[i].key_mask) ==
		LIBSSH2_KNOWNHOST_CHECK_MISMATCH;
}

/* "@revoked PATTERN TYPE KEY": keeps KEY. */
static int
take_revoked(RgSshHostkeys *hk, char *line)
{
	char	   *rest = line;
	char	   *word = NULL;

	for (int i = 0; i < 4; i++)
		word = strtok_r(i == 0 ? line : NULL, " \t", &rest);
	if (word == NULL)
		return 0;
	if (hk->nrevoked >= REVOKED_MAX)
		return RGE_LIMIT;
	hk->revoked[hk->nrevoked] = strdup(word);
	if (hk->revoked[hk->nrevoked] == NULL)
		return RGE_NOMEM;
	hk->nrevoked++;
	return 0;
}

static int
take_line(RgSshHostkeys *hk, char *line)
{
	size_t		len = strlen(line);

	while (len > 0 && isspace((unsigned char) line[len - 1]))
		line[--len] = '\0';
	line += strspn(line, " \t");
	if (strncmp(line, "@revoked", 8) == 0)
		return take_revoked(hk, line);
	if (line[0] == '@')
		return 0;

	/* what libssh2 can't read can't match either */
	(void) libssh2_knownhost_readline(hk->known, line, strlen(line), LIBSSH2_KNOWNHOST_FILE_OPENSSH);
	return 0;
}

static int
read_file(RgSshHostkeys *hk, const RgSshParams *params, RgError *err)
{
	char		line[KNOWN_LINE_MAX];
	int			rc = 0;
	FILE	   *file = fopen(params->known_hosts, "re");

	if (file == NULL && errno == ENOENT)
		return 0;				/* then every host is unknown, and the hint says what to do */
	if (file == NULL)
	{
		rg_error_set(err, RGE_TRUST, "could not open known_hosts file \"%.100s\": %s",
					 params->known_hosts, strerror(errno));
		rg_error_hint(err, "Make it readable for the user that regentd runs as: chown USER %s",
					  params->known_hosts);
		return RGE_TRUST;
	}
	for (int n = 0; rc == 0 && fgets(line, sizeof(line), file) != NULL; n++)
	{
		/* a line without its newline is the last one, or too long to be understood */
		if ((strchr(line, '\n') == NULL && !feof(file)) || n >= KNOWN_LINES_MAX)
			rc = RGE_LIMIT;
		else
			rc = take_line(hk, line);
	}
	if (rc == 0 && ferror(file))
		rc = RGE_IO;
	fclose(file);
	explicit_bzero(line, sizeof(line));
	if (rc != 0)
		return rg_error_set(err, RGE_TRUST, "known_hosts file \"%.100s\" can't be read, or is too long",
							params->known_hosts);
	return 0;
}

/* Types that are known for the host first, so that the server shows one that can be checked. */
static int
set_preferences(RgSshHostkeys *hk, LIBSSH2_SESSION *session, RgError *err)
{
	char		list[256] = "";
	size_t		len = 0;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < NTYPES; i++)
		{
			bool		is_known = has_type(hk, i);

			if (pass == 0 && is_known)
				hk->ntypes++;
			if (is_supported(i) && is_known == (pass == 0))
				len += (size_t) snprintf(list + len, sizeof(list) - len, "%s%s",
										 len > 0 ? "," : "", types[i].method);
		}
	if (libssh2_session_method_pref(session, LIBSSH2_METHOD_HOSTKEY, list) != 0)
		return rg_error_set(err, RGE_STATE, "libssh2 does not take host key types \"%.100s\"", list);
	return 0;
}

int
rg_ssh_hostkeys_load(LIBSSH2_SESSION *session, const RgSshParams *params,
					 RgSshHostkeys **ret_hostkeys, RgError *err)
{
	RgSshHostkeys *hk = calloc(1, sizeof(*hk));
	int			rc;

	if (hk == NULL || (hk->known = libssh2_knownhost_init(session)) == NULL)
	{
		rc = rg_error_set(err, RGE_NOMEM, "out of memory");
		goto out;
	}
	if (params->port == 22)
		snprintf(hk->name, sizeof(hk->name), "%s", params->host);
	else
		snprintf(hk->name, sizeof(hk->name), "[%s]:%d", params->host, params->port);
	for (char *p = hk->name; *p != '\0'; p++)
		*p = (char) tolower((unsigned char) *p);

	rc = read_file(hk, params, err);
	if (rc == 0)
		rc = set_preferences(hk, session, err);
	if (rc != 0)
		goto out;
	*ret_hostkeys = hk;
	hk = NULL;

out:
	rg_ssh_hostkeys_free(hk);
	return rc;
}

void
rg_ssh_hostkeys_free(RgSshHostkeys *hostkeys)
{
	if (hostkeys == NULL)
		return;
	if (hostkeys->known != NULL)
		libssh2_knownhost_free(hostkeys->known);
	for (int i = 0; i < hostkeys->nrevoked; i++)
		free(hostkeys->revoked[i]);
	free(hostkeys);
}

/* Base64; with padding as known_hosts has it, without as fingerprints have it. */
static void
encode_base64(const unsigned char *data, size_t len, bool pad, char *buf, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t		n = 0;

	for (size_t i = 0; i < len && n + 5 < size; i += 3)
	{
		uint32_t	bits = (uint32_t) data[i] << 16;

		if (i + 1 < len)
			bits |= (uint32_t) data[i + 1] << 8;
		if (i + 2 < len)
			bits |= data[i + 2];
		buf[n++] = digits[bits >> 18];
		buf[n++] = digits[bits >> 12 & 63];
		if (i + 1 < len || pad)
			buf[n++] = i + 1 < len ? digits[bits >> 6 & 63] : '=';
		if (i + 2 < len || pad)
			buf[n++] = i + 2 < len ? digits[bits & 63] : '=';
	}
	buf[n] = '\0';
}

static void
describe_key(LIBSSH2_SESSION *session, int i, RgError *err)
{
	const char *hash = libssh2_hostkey_hash(session, LIBSSH2_HOSTKEY_HASH_SHA256);
	char		text[64] = "?";

	if (hash != NULL)
		encode_base64((const unsigned char *) hash, 32, false, text, sizeof(text));
	rg_error_detail(err, "The host shows %s key SHA256:%s.", types[i].keygen, text);
}

static int
report_unknown(const RgSshHostkeys *hk, LIBSSH2_SESSION *session, const RgSshParams *params,
			   int i, RgError *err)
{
	if (hk->ntypes == 0)
		rg_error_set(err, RGE_TRUST, "host key of node %s is not known: no \"%s\" in \"%.100s\"",
					 params->node, hk->name, params->known_hosts);
	else
		rg_error_set(err, RGE_TRUST, "host key of node %s is of a type that \"%.100s\" does not have for \"%.80s\"",
					 params->node, params->known_hosts, hk->name);
	describe_key(session, i, err);
	rg_error_hint(err, "Compare this with, on the host: ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub; "
				  "if it is the same: ssh-keyscan -p %d -t %s %.100s >> %.100s",
				  types[i].keygen, params->port, types[i].keygen, params->host, params->known_hosts);
	return RGE_TRUST;
}

static int
report_changed(const RgSshHostkeys *hk, LIBSSH2_SESSION *session, const RgSshParams *params,
			   int i, RgError *err)
{
	rg_error_set(err, RGE_TRUST, "host key of node %s has changed: it is not the one of \"%.80s\" in \"%.100s\"",
				 params->node, hk->name, params->known_hosts);
	describe_key(session, i, err);
	rg_error_hint(err, "Only if the host was installed anew (compare with, on the host: "
				  "ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub): ssh-keygen -f %.100s -R '%.80s' && "
				  "ssh-keyscan -p %d -t %s %.80s >> %.100s", types[i].keygen, params->known_hosts, hk->name,
				  params->port, types[i].keygen, params->host, params->known_hosts);
	return RGE_TRUST;
}

static bool
is_revoked(const RgSshHostkeys *hk, const char *key, size_t len)
{
	char		text[2048];

	encode_base64((const unsigned char *) key, len, true, text, sizeof(text));
	for (int i = 0; i < hk->nrevoked; i++)
		if (strcmp(hk->revoked[i], text) == 0)
			return true;
	return false;
}

int
rg_ssh_hostkeys_check(const RgSshHostkeys *hostkeys, LIBSSH2_SESSION *session,
					  const RgSshParams *params, RgError *err)
{
	size_t		len = 0;
	int			type = 0;
	int			i = 0;
	const char *key = libssh2_session_hostkey(session, &len, &type);

	while (i < NTYPES && types[i].hostkey_type != type)
		i++;
	if (key == NULL || len == 0 || i == NTYPES)
		return rg_error_set(err, RGE_TRUST, "node %s shows no host key of a type that can be checked", params->node);
	if (is_revoked(hostkeys, key, len))
	{
		rg_error_set(err, RGE_TRUST, "host key of node %s is marked @revoked in \"%.100s\"",
					 params->node, params->known_hosts);
		describe_key(session, i, err);
		rg_error_hint(err, "Make a new host key on the host, restart sshd there, and put the new one into %.100s.",
					  params->known_hosts);
		return RGE_TRUST;
	}
	switch (look_up(hostkeys, key, len, LIBSSH2_KNOWNHOST_KEYENC_RAW | types[i].key_mask))
	{
		case LIBSSH2_KNOWNHOST_CHECK_MATCH:
			return 0;
		case LIBSSH2_KNOWNHOST_CHECK_MISMATCH:
			return report_changed(hostkeys, session, params, i, err);
		case LIBSSH2_KNOWNHOST_CHECK_NOTFOUND:
			return report_unknown(hostkeys, session, params, i, err);
		default:
			return rg_error_set(err, RGE_TRUST, "host key of node %s can't be checked", params->node);
	}
}
