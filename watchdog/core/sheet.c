/*
 * sheet.c
 *	  Text that grows in a buffer of the caller, cut where it is full.
 */
#include "sheet.h"

#include <stdarg.h>
#include <stdio.h>

void
rg_sheet_add(RgSheet *sheet, const char *fmt,...)
{
	va_list		ap;
	int			n;

	if (sheet->len + 1 >= sheet->size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(sheet->buf + sheet->len, sheet->size - sheet->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		sheet->len += (unsigned long) n;
	if (sheet->len >= sheet->size)
		sheet->len = sheet->size - 1;
}
