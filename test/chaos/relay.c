/*
 * relay.c
 *	  chaos-relay IFACE_A IFACE_B MS_AB MS_BA: a wire that is slow.
 *
 * Carries every frame between two interfaces, in order, each direction with its
 * own delay.  The kernel's netem does the same; not every kernel has it.  Frames
 * travel with their virtio header: between virtual interfaces checksums and
 * segments are not worked out yet, and a copy without that header would be
 * dropped.  Ends when it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX 70000
#define QUEUE_MAX 4096			/* frames that a wire holds; more are lost, as on a real one */

typedef struct Frame
{
	int64_t		due;
	size_t		size;
	char	   *data;
} Frame;

typedef struct Wire
{
	int			from;
	int			to;
	int64_t		delay_us;
	Frame		queue[QUEUE_MAX];
	size_t		first;
	size_t		count;
} Wire;

static int64_t
now_us(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int
open_interface(const char *name)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int			on = 1;
	int			size = 8 * 1024 * 1024;
	int			fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	addr.sll_ifindex = (int) if_nametoindex(name);
	if (fd < 0 || addr.sll_ifindex == 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) != 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0 ||
		bind(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0)
	{
		(void) fprintf(stderr, "chaos-relay: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	return fd;
}

static void
take_in(Wire *w)
{
	static char frame[FRAME_MAX];
	ssize_t		n;

	while ((n = recv(w->from, frame, sizeof(frame), 0)) > 0)
	{
		Frame	   *f = &w->queue[(w->first + w->count) % QUEUE_MAX];

		if (w->count == QUEUE_MAX)
			continue;
		f->data = malloc((size_t) n);
		if (f->data == NULL)
			continue;
		memcpy(f->data, frame, (size_t) n);
		f->size = (size_t) n;
		f->due = now_us() + w->delay_us;
		w->count++;
	}
}

static void
let_out(Wire *w)
{
	while (w->count > 0 && w->queue[w->first].due <= now_us())
	{
		Frame	   *f = &w->queue[w->first];

		/* a frame that the other side can't take now is lost */
		(void) !send(w->to, f->data, f->size, 0);
		free(f->data);
		w->first = (w->first + 1) % QUEUE_MAX;
		w->count--;
	}
}

static int
time_left(const Wire *a, const Wire *b)
{
	int64_t		due = INT64_MAX;
	int64_t		now = now_us();

	if (a->count > 0)
		due = a->queue[a->first].due;
	if (b->count > 0 && b->queue[b->first].due < due)
		due = b->queue[b->first].due;
	if (due == INT64_MAX)
		return 1000;
	return due <= now ? 0 : (int) ((due - now + 999) / 1000);
}

int
main(int argc, char **argv)
{
	static Wire ab;
	static Wire ba;
	struct pollfd fds[2];

	if (argc != 5)
	{
		(void) fprintf(stderr, "usage: chaos-relay IFACE_A IFACE_B MS_AB MS_BA\n");
		return 2;
	}
	ab.from = ba.to = open_interface(argv[1]);
	ba.from = ab.to = open_interface(argv[2]);
	ab.delay_us = atoll(argv[3]) * 1000;
	ba.delay_us = atoll(argv[4]) * 1000;
	for (;;)
	{
		fds[0] = (struct pollfd) {ab.from, POLLIN, 0};
		fds[1] = (struct pollfd) {ba.from, POLLIN, 0};
		(void) poll(fds, 2, time_left(&ab, &ba));
		take_in(&ab);
		take_in(&ba);
		let_out(&ab);
		let_out(&ba);
	}
}
