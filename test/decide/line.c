/*
 * line.c
 *	  Words, numbers and names of a case file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

const char *
line_get(const Line *line, const char *key)
{
	size_t		len = strlen(key);

	for (int i = 1; i < line->nwords; i++)
		if (strncmp(line->words[i], key, len) == 0 && line->words[i][len] == '=')
			return line->words[i] + len + 1;
	return NULL;
}

void
line_known(const Line *line, int first, const char *const *keys)
{
	for (int i = first; i < line->nwords; i++)
	{
		const char *equals = strchr(line->words[i], '=');
		bool		known = false;

		if (equals == NULL)
			line_error(line, "\"%s\" is not key=value", line->words[i]);
		for (int k = 0; keys[k] != NULL; k++)
			if (strlen(keys[k]) == (size_t) (equals - line->words[i]) &&
				strncmp(keys[k], line->words[i], strlen(keys[k])) == 0)
				known = true;
		if (!known)
			line_error(line, "unknown key in \"%s\"", line->words[i]);
	}
}

int64_t
parse_int(const Line *line, const char *text)
{
	char	   *end;
	long long	value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0')
		line_error(line, "\"%s\" is not a number", text);
	return value;
}

int64_t
parse_ms(const Line *line, const char *text)
{
	char	   *end;
	long long	value = strtoll(text, &end, 10);

	if (end == text)
		line_error(line, "\"%s\" is not a time", text);
	if (strcmp(end, "ms") == 0)
		return value;
	if (strcmp(end, "s") == 0)
		return value * 1000;
	if (strcmp(end, "min") == 0)
		return value * 60000;
	line_error(line, "\"%s\": a time needs its unit: ms, s or min", text);
}

bool
parse_bool(const Line *line, const char *text)
{
	if (strcmp(text, "yes") == 0 || strcmp(text, "on") == 0)
		return true;
	if (strcmp(text, "no") == 0 || strcmp(text, "off") == 0)
		return false;
	line_error(line, "\"%s\" is neither yes nor no", text);
}

int
parse_node(const Line *line, const Scene *s, const char *name)
{
	int			node = rg_view_find(&s->view, name);

	if (node < 0)
		line_error(line, "there is no node \"%s\"", name);
	return node;
}

RgStepKind
parse_step(const Line *line, const char *name)
{
	static const struct
	{
		const char *name;
		RgStepKind	kind;
	}			short_names[] = {
		{"promote-sql", RG_STEP_PROMOTE_SQL},
		{"promote-ssh", RG_STEP_PROMOTE_SSH},
		{"fence-sql", RG_STEP_FENCE_SQL},
		{"write-rule", RG_STEP_WRITE_RULE},
	};

	for (size_t i = 0; i < sizeof(short_names) / sizeof(short_names[0]); i++)
		if (strcmp(short_names[i].name, name) == 0)
			return short_names[i].kind;
	if (rg_step_find(name) == RG_STEP_NONE)
		line_error(line, "there is no step \"%s\"", name);
	return rg_step_find(name);
}
