# gate.pl
#    What the open gate costs a writing transaction: two servers with the same
#    settings, one with the extension and an open gate, one without, both loaded by
#    pgbench (synchronous_commit off) in short slices in turns.
#
# A shared machine changes its pace within seconds, so turns of seconds can't show a
# percent: what is compared lies next to each other, in slices of a fifth of a second.
# Two measures of each slice, both for each transaction: the time on the clock, and the
# processor time of the very backends that serve pgbench (schedstat, nanoseconds).
# Transactions are counted by their xids.
#
# Where the memory of a session happens to lie is worth several percent for as long as it
# lives, so each slice has a pgbench, and sessions, of its own.  So is where that of a
# server lies, and its files: both are started anew for each block of rounds, in another
# order each time, and in every other block they change their parts: the one that had the
# extension loaded runs without.  And so is who shares a core with whom: with one client
# (more than one makes the walwriter, which each asynchronous commit wakes, fight with them
# for a machine's few cores) pgbench has one core, its backend another.
#
# Four slices make a round, in an order that changes: the server with an open gate, the same
# one with regent.gate = off, the server without the extension, and that one once more.
#
#   with/without   the whole extension, its gate open
#   with/off       the same server: what the gate itself costs
#   again/without  nothing differs: the error of the method
#
# A block gives the median of its rounds.  Printed is the mean of pairs of blocks (of their
# logarithms) with its 95 % interval.
#
# Before that the instructions of an insert are counted, in user mode, by valgrind: the
# number does not care what else the machine does (--no-count leaves it out).
use strict;
use warnings;
use Getopt::Long;
use IPC::Open2;
use JSON::PP;
use List::Util qw(sum);
use POSIX ();
use RegentCluster qw(wait_until);
use Time::HiRes qw(time sleep);

$| = 1;
my ($blocks, $rounds, $slice_ms, $clients, $count, @loads) = (12, 16, 200, 1, 1);
GetOptions('blocks=i' => \$blocks, 'rounds=i' => \$rounds, 'slice-ms=i' => \$slice_ms, 'clients=i' => \$clients,
	'count!' => \$count, 'load=s' => \@loads) or exit 2;
die "gate: --blocks takes an even number, 4 or more, --rounds 1 or more\n" if $blocks < 4 || $blocks % 2 || $rounds < 1;
@loads = ('tpcb', 'insert') if !@loads;
die "gate: --load takes tpcb or insert\n" if grep { !/^(tpcb|insert)\z/ } @loads;
my $json = JSON::PP->new->canonical;

my @servers = ('with', 'without');

# What is measured: on which server, with which setting of regent.gate
my %modes = (with => [ 'with', 'on' ], off => [ 'with', 'off' ], without => [ 'without' ], again => [ 'without' ]);

# What is compared: what over what
my %ratios = ('with/off' => [ 'with', 'off' ], 'with/without' => [ 'with', 'without' ], 'again/without' => [ 'again', 'without' ]);

my $common = "synchronous_commit = off\nautovacuum = off\nshared_buffers = 256MB\nmax_wal_size = 16GB\ncheckpoint_timeout = 1h\n";
my (@clusters, @children);
my $watchdog = '11111111-2222-4333-8444-555555555555';
chomp(my $bin = qx($ENV{PG_CONFIG} --bindir));
chomp(my $cores = qx(nproc));

# Starts it anew with the extension loaded, or without.
sub start
{
	my ($c, $with) = @_;

	$c->sql('n1', 'ALTER SYSTEM ' . ($with ? "SET shared_preload_libraries = 'pg_regent'" : 'RESET shared_preload_libraries'));
	$c->stop_server('n1');
	$c->start_server('n1');
}

# The watchdog's part: a lease for longer than the run ...
sub grant
{
	my ($c) = @_;

	$c->sql('n1', "SELECT regent.heartbeat('$watchdog', 1, s.boot_id, s.started_at, 2, s.boottime_ms + 3600000)
		FROM regent.heartbeat('$watchdog', 1, NULL, NULL, 2, NULL) s");
	my $gate = $c->sql('n1', 'SELECT gate FROM regent.node_status()');
	die "the gate is $gate, not open\n" unless $gate eq 'open';
}

# ... after a rule.
sub open_gate
{
	my ($c) = @_;

	start($c, 1);
	$c->sql('n1', 'CREATE EXTENSION IF NOT EXISTS pg_regent');
	$c->sql('n1', "SELECT regent.write_rule('$watchdog', 1, 2, 1, 'n1', '{n1}', 'async', 0, '{}', '1 hour', NULL, 'bench')");
	grant($c);
}

sub restart
{
	my ($c, $with) = @_;

	start($c, $with);
	grant($c) if $with;
}

# One transaction of each load, for counting.  TPC-B's updates go to rows of their own,
# all in one table: in a row that is updated again and again the work depends on when its
# old versions are removed, which differs from run to run.
my $row = 0;
my %transaction = (
	insert => sub { 'INSERT INTO bench_row (v) VALUES (1);' },
	tpcb => sub {
		return join "\n", 'BEGIN;',
			(map { 'UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = ' . ($row + $_) . ';' } 1 .. 3),
			"SELECT abalance FROM pgbench_accounts WHERE aid = $row + 1;",
			'INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, 1, 1, CURRENT_TIMESTAMP);', 'END;';
	},
);

# One backend does so many transactions: its instructions
sub instructions_of
{
	my ($c, $load, $n) = @_;
	my @statements = map { $row += 3; $transaction{$load}->() } 1 .. $n;
	my ($pid) = $c->sql('n1', join("\n", 'SELECT pg_backend_pid();', @statements), timeout => 300) =~ /^(\d+)/;
	my $count;

	wait_until(sub { ($count) = (RegentCluster::slurp($c->dir . "/callgrind.$pid") // '') =~ /^summary: (\d+)/m }, 60,
		'valgrind has written its counts');
	return $count;
}

# Of a transaction of each load
sub count_instructions
{
	my ($c, $with) = @_;
	my %n;
	my $log = $c->dir . '/valgrind.log';

	$row = 0;
	restart($c, $with);
	$c->stop_server('n1');
	my $pid = $c->spawn([ 'valgrind', '--tool=callgrind', '--trace-children=yes', '--callgrind-out-file=' . $c->dir . '/callgrind.%p',
		"$bin/postgres", '-D', $c->node('n1')->{dir} ], $log);
	wait_until(sub { defined $c->sql('n1', 'SELECT 1', may_fail => 1) }, 120, 'the server to run under valgrind');
	grant($c) if $with;
	for my $load (sort keys %transaction)
	{
		my ($few, $many) = map { instructions_of($c, $load, $_) } 200, 1700;
		$n{$load} = ($many - $few) / 1500;
	}
	kill INT => $pid;
	RegentCluster::reap($pid, 120);
	$c->start_server('n1');
	return \%n;
}

# A session that answers one question again and again: how many xids are used?
sub counter
{
	my ($c) = @_;
	my $pid = open2(my $out, my $in, "$bin/psql", '-XAtq', '-d', $c->conninfo('n1'));

	$in->autoflush(1);
	return { pid => $pid, out => $out, in => $in };
}

sub answer
{
	my ($counter, $query) = @_;

	print { $counter->{in} } "$query;\n";
	my $line = readline $counter->{out};
	die "the counting session has ended\n" unless defined $line;
	chomp $line;
	return $line;
}

sub xids { return answer($_[0], 'SELECT pg_snapshot_xmax(pg_current_snapshot())') }

# A setting is written (and the file synced), and there is a reload, even where nothing
# changes, so that all slices begin alike.
sub prepare
{
	my ($counter, $gate) = @_;
	my $setting = $gate ? "regent.gate = $gate" : 'trace_notify = off';

	answer($counter, "ALTER SYSTEM SET $setting; SELECT pg_reload_conf()");
	wait_until(sub { answer($counter, 'SHOW regent.gate') eq $gate }, 10, "regent.gate = $gate") if $gate;
}

# Processor time of these backends, nanoseconds
sub cpu_ns
{
	my $ns = 0;

	for my $pid (@_)
	{
		my $stat = RegentCluster::slurp("/proc/$pid/schedstat") // die "a backend of pgbench has ended\n";
		$ns += (split ' ', $stat)[0];
	}
	return $ns;
}

# Which core the process may use
sub pin
{
	my ($pid, $core) = @_;

	RegentCluster::must([ 'taskset', '-a', '-p', '-c', $core, $pid ]) if $clients == 1 && $cores > 1;
}

# The backends that serve it
sub start_pgbench
{
	my ($c, $load, $counter) = @_;
	my @args = $load eq 'insert' ? ('-f', $c->dir . '/insert.sql') : ('-b', 'tpcb-like');

	# not the one in which pgbench looks at its tables before it begins
	my $sessions = "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE application_name = 'pgbench'
		AND query ~ '^(BEGIN|UPDATE|SELECT abalance|INSERT|END)'" =~ s/\s+/ /gr;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		{ exec "$bin/pgbench", '-n', '-T', 60, '-c', $clients, '-j', $clients, @args, $c->conninfo('n1') }
		POSIX::_exit(127);
	}
	push @children, $pid;
	my @backends;
	wait_until(sub {
		@backends = split ' ', answer($counter, $sessions);
		@backends == $clients;
	}, 30, 'pgbench has connected');
	pin($pid, $cores - 1);
	pin($_, 0) for @backends;
	return @backends;
}

# Nothing of it is left.
sub end_pgbench
{
	my ($counter) = @_;

	kill KILL => @children;
	waitpid $_, 0 for splice @children;
	wait_until(sub { answer($counter, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'") == 0 }, 30,
		'the sessions of pgbench have ended');
}

END
{
	my $status = $?;
	kill KILL => @children if @children;
	$? = $status;
}

sub slice
{
	my ($c, $load, $counter) = @_;
	my @backends = start_pgbench($c, $load, $counter);

	sleep($slice_ms / 1000);    # its sessions have loaded what they need of the catalogs
	my ($n, $cpu) = (xids($counter), cpu_ns(@backends));
	my $began = time();

	sleep($slice_ms / 1000);    # the length of a slice
	$cpu = cpu_ns(@backends) - $cpu;
	my $us = (time() - $began) * 1e6;
	$n = xids($counter) - $n;
	die "no transaction in a slice\n" unless $n > 0;
	end_pgbench($counter);
	return { us => $us / $n, cpu => $cpu / 1e3 / $n };
}

sub median { my @s = sort { $a <=> $b } @_; return @s % 2 ? $s[ $#s / 2 ] : ($s[ @s / 2 - 1 ] + $s[ @s / 2 ]) / 2 }

# Student's t for a 95 % interval with so many degrees of freedom
my @t = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228);
sub student { my ($n) = @_; return $n <= @t ? $t[ $n - 1 ] : 1.96 + 2.7 / $n }

# mean (low to high) of ratios: of their logarithms, with its 95 % interval
sub interval
{
	my @log = map { log } @_;
	my $mean = sum(@log) / @log;
	my $half = student($#log) * sqrt(sum(map { ($_ - $mean)**2 } @log) / $#log / @log);

	return sprintf '%.4f (%.4f to %.4f)', map { exp } $mean, $mean - $half, $mean + $half;
}

# Of two blocks each, between which the servers have changed their parts: the geometric mean
sub pairs { return map { sqrt($_[ 2 * $_ ] * $_[ 2 * $_ + 1 ]) } 0 .. @_ / 2 - 1 }

# Another order for each number
sub turns
{
	my ($i, @names) = @_;
	my @turns = map { $names[ ($i + $_) % @names ] } 0 .. $#names;

	return $i / @names % 2 ? reverse @turns : @turns;
}

# Both servers, started anew: their memory lies elsewhere, and the load begins again.
# Returns who has which part, and the counters, by parts.
sub start_block
{
	my ($block) = @_;
	my (%part, %counter);

	@part{@servers} = $block % 2 ? @clusters : reverse @clusters;
	for my $name (turns($block, @servers))
	{
		my $c = $part{$name};

		restart($c, $name eq 'with');
		$c->sql('n1', $_) for 'TRUNCATE bench_row, pgbench_history', 'VACUUM FULL pgbench_branches',
			'VACUUM FULL pgbench_tellers', 'VACUUM pgbench_accounts', 'CHECKPOINT';
		$counter{$name} = counter($c);
	}
	return (\%part, \%counter);
}

sub end_block
{
	my ($part, $counter) = @_;

	close $_->{in} for values %$counter;
	waitpid $_->{pid}, 0 for values %$counter;
	$part->{with}->sql('n1', 'ALTER SYSTEM RESET regent.gate');
}

# { mode => slice }
sub run_round
{
	my ($load, $i, $part, $counter) = @_;
	my %ret;

	for my $mode (turns($i, sort keys %modes))
	{
		my ($server, $gate) = @{ $modes{$mode} };

		prepare($counter->{$server}, $gate);
		$ret{$mode} = slice($part->{$server}, $load, $counter->{$server});
	}
	return \%ret;
}

# { ratio's name => { us|cpu => ratio } } of one block; its slices' processor times go to $cpu
sub run_block
{
	my ($load, $block, $cpu) = @_;
	my ($part, $counter) = start_block($block);
	my (%of_rounds, %ret);

	for my $i (1 .. $rounds)
	{
		my $r = run_round($load, $i, $part, $counter);

		while (my ($name, $what) = each %ratios)
		{
			my ($over, $under) = @$r{@$what};
			push @{ $of_rounds{$name}{$_} }, $over->{$_} / $under->{$_} for 'us', 'cpu';
		}
		push @{ $cpu->{$_} }, $r->{$_}{cpu} for keys %$r;
	}
	end_block($part, $counter);
	for my $name (keys %ratios) { $ret{$name}{$_} = median(@{ $of_rounds{$name}{$_} }) for 'us', 'cpu' }
	return \%ret;
}

for (@servers)
{
	my $c = RegentCluster->new(nodes => 1, conf => "shared_preload_libraries = ''\n$common", no_sshd => 1);

	push @clusters, $c;
	RegentCluster::spew($c->dir . '/insert.sql', "INSERT INTO bench_row (v) VALUES (1);\n");
	open_gate($c);
	RegentCluster::must([ "$bin/pgbench", '-i', '-q', '-s', 10, $c->conninfo('n1') ]);
	$c->sql('n1', 'CREATE TABLE bench_row (id bigserial PRIMARY KEY, v int)');
}

if ($count)
{
	my %n = map { $servers[$_] => count_instructions($clusters[$_], $servers[$_] eq 'with') } 0, 1;

	printf "instructions of a transaction in user mode, %s: without %.0f, with %.0f, ratio %.4f\n",
		$_, $n{without}{$_}, $n{with}{$_}, $n{with}{$_} / $n{without}{$_} for sort keys %transaction;
}

my @table;
for my $load (@loads)
{
	my (%cpu, @of_blocks);

	for my $block (1 .. $blocks)
	{
		push @of_blocks, run_block($load, $block, \%cpu);
		print $json->encode({ load => $load, block => $block, %{ $of_blocks[-1] } }), "\n";
	}
	for my $name ('with/without', 'with/off', 'again/without')
	{
		push @table, sprintf('%-7s %-14s  %-27s  %-27s  %6.1f %6.1f', $load, $name,
			(map { my $m = $_; interval(pairs(map { $_->{$name}{$m} } @of_blocks)) } 'us', 'cpu'),
			map { median(@{ $cpu{$_} }) } @{ $ratios{$name} });
	}
}
$_->finish for @clusters;
printf "\nmean of %d pairs of starts of the servers (its 95 %% interval); again/without is the error of the method\n", $blocks / 2;
print "load    compared        time per transaction         backends' CPU                CPU us, medians\n";
print "$_\n" for @table;
