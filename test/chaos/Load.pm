# Load.pm
#    Clients, and what they were told.
#
# Two sets of clients run the same program.  The load stands on a host of its own
# and looks for the primary over the network, as applications do.  The observer
# tries a write on every node through that node's unix socket: no fault of the
# network cuts it, and its sessions wait for ever, so that an acknowledgement
# that was held up by a frozen server is seen when it comes.
#
# What they write down is read while they run: one record per transaction in
# {acks}, {refused}, {unknown}, {prepared}; and in {absences}, when nobody of the load was there to ask.
package Load;

use strict;
use warnings;
use RegentCluster qw(spew wait_until);
use Time::HiRes qw(time sleep);

# kinds of transactions: txn.c
my @load = ('iims', 'ip', 'ici', 'ims', 'iqi', 'its');
# these hardly pause
my @hot = ('i', 'm');
my $first_id = 0;

# new(cluster, dir): dir outlives the hosts
sub new
{
	my ($class, %o) = @_;
	return bless { %o, acks => [], refused => [], unknown => [], prepared => [], absences => [], no_connection => {}, sources => [] }, $class;
}

sub load_lines
{
	my ($self) = @_;
	my $c = $self->{cluster};
	my $hosts = join ',', map { $c->host($_)->address } @{ $self->{nodes} };
	my $base = "port=5432 user=chaos dbname=postgres target_session_attrs=read-write sslmode=disable gssencmode=disable application_name=load passfile="
		. $c->host('c')->dir . '/pgpass';
	my $n = 0;
	return ((map { sprintf "load%d|%s|20|2500|700|keep|%s|%s\n", ++$n, $_, $hosts, $base } @load),
		map { sprintf "hot%d|%s|1|2500|700|keep|%s|%s\n", ++$n, $_, $hosts, $base } @hot);
}

sub observer_lines
{
	my ($self) = @_;
	my $c = $self->{cluster};
	my @lines;
	for my $name (@{ $self->{nodes} })
	{
		my $base = 'port=5432 user=chaos dbname=postgres application_name=observer';
		my $where = $c->host($name)->dir . '/run';
		push @lines, sprintf "see%d-%s|%s|200|0|2000|%s|%s|%s\n", $_, $name, $_ == 3 ? 'ims' : 'i', $_ > 3 ? 'fresh' : 'keep', $where, $base for 1 .. 5;
		# and three that are always in the middle of a commit where they may write
		push @lines, sprintf "hot%d-%s|%s|1|0|2000|keep|%s|%s\n", $_, $name, $_ == 3 ? 't' : 'i', $where, $base for 1 .. 3;
	}
	return @lines;
}

# From here on only what a new pair of processes writes counts; nodes: whom they look for.
sub begin
{
	my ($self, @nodes) = @_;
	my $c = $self->{cluster};
	$self->{nodes} = [@nodes];
	$self->{$_} = [] for qw(acks refused unknown prepared absences sources);
	$self->{no_connection} = {};
	$self->{began} = Util::now();
	$self->{names} = { (map { $c->host($_)->address => $_ } @Cluster::nodes), (map { $c->host($_)->dir . '/run' => $_ } @Cluster::nodes) };
	my $h = $c->host('c');
	$h->put('load.conf', join '', $self->load_lines);
	$h->put('observer.conf', join '', $self->observer_lines);
	$self->start_one('load');
	$self->start_one('observer');
}

sub start_one
{
	my ($self, $what) = @_;
	my $c = $self->{cluster};
	my $h = $c->host('c');
	my $first = ++$first_id * 1_000_000;
	my $file = $h->dir . "/$what-$first_id.txt";
	my @cmd = ("$c->{product}/chaos-load", $h->dir . "/$what.conf", $file, $first);
	my $log = $h->dir . "/$what.log";
	my $pid;
	if ($what eq 'load')
	{
		$pid = $h->daemon([@cmd], $log);
	}
	else
	{
		# not on any host: only files connect it to the nodes
		$pid = fork() // die "can't fork: $!";
		if ($pid == 0)
		{
			setpgrp(0, 0);
			open(STDIN, '<', '/dev/null');
			open(STDOUT, '>>', $log);
			open(STDERR, '>>', $log);
			exec('setpriv', "--reuid=$h->{uid}", "--regid=$h->{gid}", '--init-groups', '--', @cmd) or POSIX::_exit(127);
		}
	}
	push @{ $self->{sources} }, { what => $what, pid => $pid, file => $file, rest => '' };
}

# Ends the clients, reads the last lines.
sub end
{
	my ($self) = @_;
	kill('TERM', map { $_->{pid} } grep { $_->{pid} } @{ $self->{sources} });
	for my $s (@{ $self->{sources} })
	{
		next unless $s->{pid};
		# its child or not: a daemon of host c is not
		wait_until(sub { waitpid($s->{pid}, POSIX::WNOHANG()); Host::state_of($s->{pid}) =~ /^[ZX]?$/ }, 20, "$s->{what} to end");
	}
	$self->read;
}

# A killed client loses nothing that it was told, and another one goes on.
sub kill_load
{
	my ($self) = @_;
	my ($s) = grep { $_->{what} eq 'load' && $_->{pid} } reverse @{ $self->{sources} };
	kill('KILL', $s->{pid});
	push @{ $self->{absences} }, { from => Util::now() };
	$s->{pid} = undef;
	$self->start_one('load');
}

# ---- reading ----

sub read
{
	my ($self) = @_;
	for my $s (@{ $self->{sources} })
	{
		if (!$s->{fh})
		{
			open(my $fh, '<', $s->{file}) or next;
			$s->{fh} = $fh;
		}
		seek($s->{fh}, 0, 1);
		my $text = do { local $/; readline($s->{fh}) } // '';
		next if $text eq '';
		my @lines = split /\n/, $s->{rest} . $text, -1;
		$s->{rest} = pop @lines;
		$self->take($s->{what}, $_) for @lines;
	}
}

sub take
{
	my ($self, $source, $line) = @_;
	my ($what, @f) = split / /, $line;
	if ($what eq 'B')
	{
		$_->{to} //= $f[0] / 1e6 for $source eq 'load' ? @{ $self->{absences} } : ();
		return;
	}
	if ($what eq 'N')
	{
		$self->{no_connection}{ $f[0] }++;
		return;
	}
	my %r = (ids => [ split /,/, $f[0] ], label => $f[1], node => $self->{names}{ $f[2] } // '?', sent => $f[3] / 1e6, source => $source);
	if ($what eq 'A' || $what eq 'P')
	{
		@r{qw(lo hi term kind)} = ($f[4] / 1e6, $f[5] / 1e6, $f[6] + 0, $f[7]);
		push @{ $self->{ $what eq 'A' ? 'acks' : 'prepared' } }, \%r;
		$self->{last_ack} = \%r if $what eq 'A' && (!$self->{last_ack} || $r{hi} > $self->{last_ack}{hi});
	}
	else
	{
		@r{qw(hi sqlstate kind)} = ($f[4] / 1e6, $f[5], $f[6]);
		push @{ $self->{ $what eq 'F' ? 'refused' : 'unknown' } }, \%r;
	}
}

# The newest acknowledgement, with a term of at least this.
sub acked_since
{
	my ($self, $time, $term) = @_;
	my $a = $self->{last_ack} or return 0;
	return $a->{hi} > $time && $a->{term} >= ($term // 0);
}

1;
