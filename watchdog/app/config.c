/*
 * config.c
 *	  Reads regent.conf.
 *
 * inih splits the lines; its reader function is ours and does what the library
 * leaves out: it counts lines (the library is usually built without line
 * numbers for handlers), strips leading blanks (an indented key would be taken
 * as the continuation of the value above), sees sections without keys, and
 * refuses lines longer than the library's buffer, which would be cut in two.
 * A line that has content and led to no key is what the library could not
 * read; so every such line is reported, not only the first.
 *
 * Nothing is global: the reader's state is one value on the stack, passed both
 * as the library's stream and as its user pointer.
 */
#include "config.h"
#include "config_check.h"
#include "config_keys.h"
#include "config_value.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 10000
#define SECTION_NONE (-1)		/* before the first section, or a section that is wrong */
#define SECTION_CLUSTER 0

typedef struct Reader
{
	FILE	   *stream;
	char	   *buffer;			/* getline's */
	size_t		allocated;
	int			line;
	bool		is_waiting;		/* the last line should have led to a key */
	int			section;		/* 0 cluster, 1 + i node i, or SECTION_NONE */
	RgConfigSource source;
	RgConfig	config;
} Reader;

static void
set_default(const RgKey *key, void *base)
{
	char		why[RG_WHY_MAX];

	if (!key->is_required && *key->value != '\0')
		rg_value_set(key, key->value, base, why, sizeof(why));
}

static void
set_defaults(const char *section, void *base)
{
	for (int i = 0; i < rg_nkeys; i++)
		if (strcmp(rg_keys[i].section, section) == 0)
			set_default(&rg_keys[i], base);
}

/* Begins a node's section; its number, or SECTION_NONE after a complaint. */
static int
begin_node(Reader *r, const char *name)
{
	RgConfig   *config = &r->config;
	int			known = rg_config_node(config, name);
	RgNodeConfig *node;

	if (!rg_node_name_is_valid(name))
	{
		rg_config_complain(&r->source, r->line, "invalid node name \"%.60s\": "
						   "1 to 40 lower-case letters, digits and _ are allowed", name);
		return SECTION_NONE;
	}
	if (strcmp(name, "any") == 0 || strcmp(name, "first") == 0)
	{
		rg_config_complain(&r->source, r->line, "a node can't be named \"%s\": "
						   "the word has a meaning in synchronous_standby_names", name);
		return SECTION_NONE;
	}
	if (known >= 0)
	{
		rg_config_complain(&r->source, r->line, "node \"%s\" is there twice: "
						   "its first section is at line %d", name, r->source.section_line[known + 1]);
		return SECTION_NONE;
	}
	if (config->nnodes == RG_NODES_MAX)
	{
		rg_config_complain(&r->source, r->line, "too many nodes: a cluster has at most %d", RG_NODES_MAX);
		return SECTION_NONE;
	}
	node = &config->nodes[config->nnodes++];
	set_defaults("node", node);
	snprintf(node->name, sizeof(node->name), "%s", name);
	r->source.section_line[config->nnodes] = r->line;
	return config->nnodes;
}

/* A line "[...]"; text is stripped of blanks at both ends. */
static int
begin_section(Reader *r, const char *text)
{
	const char *end = strchr(text, ']');
	char		name[RG_NAME_MAX * 2];

	if (end == NULL || (end[1 + strspn(end + 1, " \t")] != '\0'
						&& end[1 + strspn(end + 1, " \t")] != ';'))
	{
		rg_config_complain(&r->source, r->line,
						   "a section is written as [cluster] or [node NAME], alone on its line");
		return SECTION_NONE;
	}
	snprintf(name, sizeof(name), "%.*s", (int) (end - text - 1), text + 1);
	if (strcmp(name, "cluster") == 0)
	{
		if (r->source.section_line[SECTION_CLUSTER] != 0)
			rg_config_complain(&r->source, r->line, "section [cluster] is there twice: "
							   "the first is at line %d", r->source.section_line[SECTION_CLUSTER]);
		else
			r->source.section_line[SECTION_CLUSTER] = r->line;
		return SECTION_CLUSTER;
	}
	if (strncmp(name, "node", 4) == 0 && (name[4] == ' ' || name[4] == '\t'))
		return begin_node(r, name + 4 + strspn(name + 4, " \t"));
	if (strcmp(name, "node") == 0)
		rg_config_complain(&r->source, r->line, "a node's section has its name: [node n1]");
	else if (rg_word_distance(name, "cluster") <= 3)
		rg_config_complain(&r->source, r->line,
						   "unknown section [%.60s]: did you mean [cluster]?", name);
	else if (rg_node_name_is_valid(name))
		rg_config_complain(&r->source, r->line,
						   "unknown section [%.60s]: did you mean [node %.60s]?", name, name);
	else
		rg_config_complain(&r->source, r->line,
						   "unknown section [%.60s]: there are [cluster] and [node NAME]", name);
	return SECTION_NONE;
}

/* inih's reader: the next line into str, or NULL at the end. */
static char *
read_line(char *str, int num, void *stream)
{
	Reader	   *r = stream;
	ssize_t		len;
	char	   *text;

	if (r->is_waiting)
		rg_config_complain(&r->source, r->line, "a line has the form \"key = value\"");
	r->is_waiting = false;
	if (r->line >= LINES_MAX)
	{
		rg_config_complain(&r->source, r->line, "the file is too long: at most %d lines", LINES_MAX);
		return NULL;
	}
	len = getline(&r->buffer, &r->allocated, r->stream);
	if (len < 0)
		return NULL;
	r->line++;
	str[0] = '\0';
	if (strlen(r->buffer) != (size_t) len)
	{
		rg_config_complain(&r->source, r->line, "the line contains a zero byte");
		return str;
	}
	while (len > 0 && isspace((unsigned char) r->buffer[len - 1]))
		r->buffer[--len] = '\0';
	text = r->buffer;
	if (r->line == 1 && strncmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;				/* a byte order mark */
	text += strspn(text, " \t");
	if (*text == '\0' || *text == ';' || *text == '#')
		return str;				/* nothing: inih gets an empty line */
	if (strlen(text) + 2 > (size_t) num)
	{
		rg_config_complain(&r->source, r->line, "the line is too long: at most %d characters", num - 2);
		return str;
	}
	if (*text == '[')
		r->section = begin_section(r, text);
	else
		r->is_waiting = true;
	snprintf(str, (size_t) num, "%s\n", text);
	return str;
}

static void
complain_unknown_key(Reader *r, const char *section, const char *name)
{
	const char *other = r->section == SECTION_CLUSTER ? "node" : "cluster";
	int			nearest = rg_key_nearest(section, name);

	if (rg_key_find(other, name) >= 0)
		rg_config_complain(&r->source, r->line, "key \"%.60s\" does not belong here: it belongs in %s",
						   name, r->section == SECTION_CLUSTER ? "a [node NAME] section" : "[cluster]");
	else if (nearest >= 0)
		rg_config_complain(&r->source, r->line, "unknown key \"%.60s\": did you mean \"%s\"?",
						   name, rg_keys[nearest].name);
	else
		rg_config_complain(&r->source, r->line, "unknown key \"%.60s\" in %s", name,
						   r->section == SECTION_CLUSTER ? "[cluster]" : "a [node NAME] section");
}

/* inih's handler: one key.  Always 1: complaints are collected by ourselves. */
static int
take_key(void *user, const char *section, const char *name, const char *value)
{
	Reader	   *r = user;
	const char *table = r->section == SECTION_CLUSTER ? "cluster" : "node";
	void	   *base;
	int			i;
	char		why[RG_WHY_MAX];

	r->is_waiting = false;
	if (r->section == SECTION_NONE)
	{
		if (*section == '\0')
			rg_config_complain(&r->source, r->line, "key \"%.60s\" stands before the first section: "
							   "begin with a line [cluster]", name);
		return 1;				/* the section was complained about */
	}
	i = rg_key_find(table, name);
	if (i < 0)
	{
		complain_unknown_key(r, table, name);
		return 1;
	}
	if (r->source.key_line[r->section][i] != 0)
	{
		rg_config_complain(&r->source, r->line, "key \"%s\" is there twice: the first is at line %d",
						   name, r->source.key_line[r->section][i]);
		return 1;
	}
	r->source.key_line[r->section][i] = r->line;
	base = r->section == SECTION_CLUSTER ? (void *) &r->config : (void *) &r->config.nodes[r->section - 1];
	if (rg_value_set(&rg_keys[i], value, base, why, sizeof(why)) != 0)
		rg_config_complain(&r->source, r->line, "%s = %.80s: %s", name, value, why);
	return 1;
}

static void
check_required(Reader *r)
{
	for (int s = 0; s <= r->config.nnodes; s++)
	{
		for (int i = 0; i < rg_nkeys; i++)
		{
			bool		is_here = strcmp(rg_keys[i].section, s == 0 ? "cluster" : "node") == 0;

			if (is_here && rg_keys[i].is_required && r->source.section_line[s] != 0
				&& r->source.key_line[s][i] == 0)
				rg_config_complain(&r->source, r->source.section_line[s],
								   "key \"%s\" is missing in this section", rg_keys[i].name);
		}
	}
	if (r->source.section_line[SECTION_CLUSTER] == 0)
		rg_config_complain(&r->source, 0, "section [cluster] is missing");
	if (r->config.nnodes == 0)
		rg_config_complain(&r->source, 0, "there is no node: add a section [node n1] for each server");
}

/* Defaults that depend on other values. */
static void
derive(RgConfig *config)
{
	if (config->control_socket[0] == '\0')
		snprintf(config->control_socket, sizeof(config->control_socket), "/run/regent/%s.sock", config->name);
	for (int i = 0; i < config->nnodes; i++)
		if (config->nodes[i].ssh_host[0] == '\0' && config->nodes[i].host[0] != '/')
			memcpy(config->nodes[i].ssh_host, config->nodes[i].host, sizeof(config->nodes[i].ssh_host));
}

int
rg_config_read(const char *file, RgConfig *ret_config, FILE *out, RgError *err)
{
	Reader		r = {.section = SECTION_NONE};
	int			rc = 0;

	if (strlen(file) >= sizeof(r.config.file))
		return rg_error_set(err, RGE_ARGUMENT, "the path of the configuration file is too long");
	r.stream = fopen(file, "re");
	if (r.stream == NULL)
	{
		rc = rg_error_set(err, RGE_IO, "could not open configuration file \"%.200s\": %s",
						  file, strerror(errno));
		rg_error_hint(err, "Name the file with -c FILE.");
		return rc;
	}
	strcpy(r.config.file, file);
	r.source.file = file;
	r.source.out = out;
	set_defaults("cluster", &r.config);

	if (ini_parse_stream(read_line, &r, take_key, &r) == -2)
		rc = rg_error_set(err, RGE_NOMEM, "out of memory");
	else if (ferror(r.stream))
		rc = rg_error_set(err, RGE_IO, "could not read configuration file \"%.200s\": %s",
						  file, strerror(errno));
	if (rc == 0)
	{
		check_required(&r);
		derive(&r.config);
		if (r.source.errors == 0)
			rg_config_check_combinations(&r.config, &r.source);
		if (r.source.errors > 0)
			rc = rg_error_set(err, RGE_ARGUMENT, "configuration file \"%.200s\" has %d error%s",
							  file, r.source.errors, r.source.errors == 1 ? "" : "s");
	}
	free(r.buffer);
	fclose(r.stream);
	if (rc == 0)
		*ret_config = r.config;
	return rc;
}

bool
rg_config_cascades(const RgConfig *config, int node)
{
	return config->nodes[node].upstream[0] != '\0';
}

int
rg_config_voters(const RgConfig *config)
{
	int			voters = 0;

	for (int i = 0; i < config->nnodes; i++)
		voters += !rg_config_cascades(config, i);
	return voters;
}

int
rg_config_node(const RgConfig *config, const char *name)
{
	for (int i = 0; i < config->nnodes; i++)
		if (strcmp(config->nodes[i].name, name) == 0)
			return i;
	return -1;
}
