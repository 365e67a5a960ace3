# rewind.pl
#    A crashed leader of about 2 GB, 50 MB of WAL beyond the fork, comes back, in turns
#    by "regent-node copy" and "swap" and by "regent-node rewind".  Timed from the
#    command to streaming, with the phases that the helper tells of (once a second, so a
#    copy's are rough).  Each time the two nodes change places.  The ratio of the
#    medians is what counts.
#
# With --link MB each round does both twice: over loopback, and over a link of so many
# MB a second (link.c); 117 is what is left of 1 Gbit/s.
use strict;
use warnings;
use Getopt::Long;
use JSON::PP;
use RegentCluster qw(run_command wait_until lsn_number);
use BenchTools qw(link_to link_capacity median file_system);
use Time::HiRes qw(time);

$| = 1;
my ($rounds, $scale, $mb, $link) = (4, 132, 50, 0);
GetOptions('rounds=i' => \$rounds, 'scale=i' => \$scale, 'mb=i' => \$mb, 'link=f' => \$link) or exit 2;
my $json = JSON::PP->new->canonical;
my $w = '11111111-2222-3333-4444-555555555555';
my $c = RegentCluster->new(nodes => 2, no_sshd => 1, servers => 0,
	conf => "regent.gate = off\nwal_log_hints = on\nshared_buffers = 256MB\nmax_wal_size = 4GB\nwal_keep_size = 128MB\nautovacuum = off\n");
chomp(my $bin = qx($ENV{PG_CONFIG} --bindir));

sub rule { my ($leader, $term) = @_; $c->sql($leader, "SELECT regent.write_rule('$w', 1, $term, 0, '$leader', '{n1,n2}', 'async', 0, '{}', '1 min', NULL, 'bench')") }

# The milliseconds of each phase, in the order in which they came.
my ($phase, $phase_began, @phases);

sub begin_phase
{
	my ($next) = @_;
	return if $next eq $phase;
	push @phases, [ $phase, int((time() - $phase_began) * 1000 + 0.5) ] if $phase ne '';
	($phase, $phase_began) = ($next, time());
}

# The helper says a phase when it begins.
sub verb
{
	my ($node, $name, @words) = @_;
	my $last = '';
	open(my $answer, '-|', "$RegentCluster::top/scripts/regent-node", '-c', $c->dir . '/node.conf', $node, $name, @words) or die "regent-node: $!";
	while (<$answer>)
	{
		begin_phase($1) if /"progress":true,"phase":"(\w+)"/;
		$last = $_;
	}
	close $answer or die "$name @words: $last";
	return decode_json($last);
}

sub streams
{
	my ($name, $leader) = @_;
	wait_until(sub { ($c->sql($leader, "SELECT state FROM pg_stat_replication WHERE application_name = '$name'", may_fail => 1) // '') eq 'streaming' },
		300, "$name streams from $leader");
}

# What others left unwritten, in the page cache or in the source's buffers, is not this
# one's: both ways ask the source for a checkpoint, and the second would find it done.
sub timed
{
	my ($source, $code) = @_;
	$c->sql($source, 'CHECKPOINT', timeout => 300);
	RegentCluster::must(['sync'], timeout => 300);
	my $began = time();
	($phase, @phases) = ('');
	begin_phase('check');
	$code->();
	begin_phase('');
	return time() - $began;
}

$c->make_primary('n1');
RegentCluster::must([ "$bin/pgbench", '-i', '-q', '-s', $scale, $c->conninfo('n1') ], timeout => 900);
$c->sql('n1', 'CREATE EXTENSION pg_regent');
rule('n1', 1);
$c->make_standby('n2');
wait_until(sub { ($c->sql('n2', 'SELECT term FROM regent.node_status()', may_fail => 1) || 0) == 1 }, 60, 'n2 holds the rule');

my %port = (loopback => { map { $_ => $c->node($_)->{port} } qw(n1 n2) },
	$link > 0 ? (link => { map { $_ => link_to($c, $c->node($_)->{port}, $link) } qw(n1 n2) }) : ());
my %times;
my ($leader, $other, $term) = ('n1', 'n2', 1);

# The other one leads, from a position that the leader leaves behind and writes on from;
# then the leader crashes, for whoever finds its directory, and is fenced.
sub diverge
{
	my ($n, $over) = @_;
	$term += 4;
	$c->wait_caught_up($leader, $other);
	$c->sql($other, "SELECT regent.promise('$w', 1, $term, 30000)", timeout => 60);
	$c->sql($other, "SELECT regent.promote('$w', 1, $term)", timeout => 60);
	rule($other, $term);
	wait_until(sub { $c->sql($other, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'regent_$leader'") == 1 }, 60, 'the slot');
	my $fork = lsn_number($c->sql($leader, 'SELECT pg_current_wal_lsn()'));
	until (lsn_number($c->sql($leader, 'SELECT pg_current_wal_lsn()')) - $fork > $mb * 1048576)
	{
		$c->sql($leader, "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 97 = $n AND aid < 200000", timeout => 300);
	}
	$c->stop_server($leader, 'immediate');
	verb($leader, 'fence', $term);
	return ($term, $other, '127.0.0.1', $port{$over}{$other}, 'postgres', '-', "regent_$leader");
}

my %ways = (
	copy => sub { my $answer = verb($leader, 'copy', @_); begin_phase('swap'); verb($leader, 'swap', @_); return $answer },
	rewind => sub { return verb($leader, 'rewind', @_) });
my $n = 0;
for my $round (1 .. $rounds)
{
	for my $over (reverse sort keys %port)
	{
		for my $way ('copy', 'rewind')
		{
			my @source = diverge($n++, $over);
			my $answer;
			my $seconds = timed($other, sub { $answer = $ways{$way}->(@source); begin_phase('stream'); streams($leader, $other) });
			push @{ $times{$over}{$way} }, $seconds;
			print $json->encode({ scenario => 'rewind', over => $over, way => $way, round => $round, seconds => sprintf('%.2f', $seconds) + 0,
				ms => join(', ', map { "$_->[0] $_->[1]" } @phases), bytes => $answer->{bytes}, diverged_bytes => $answer->{diverged_bytes} }), "\n";
			verb($leader, 'settle') if $way eq 'copy';
			($leader, $other) = ($other, $leader);
		}
	}
}
printf "\nThe relay of the link alone carries %.0f MB/s\n", link_capacity($c) if $link > 0;
printf "\n%d rounds, medians, on %s\n", $rounds, file_system($c->dir);
for my $over (reverse sort keys %times)
{
	my %m = map { $_ => median(@{ $times{$over}{$_} }) } keys %{ $times{$over} };
	printf "over %s: copy %.2f s, rewind %.2f s\n", $over eq 'link' ? "a link of $link MB/s" : 'loopback', @m{qw(copy rewind)};
	printf "\ta rewind is %.2f times faster than a copy\n", $m{copy} / $m{rewind};
}
$c->finish;
