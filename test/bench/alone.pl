# alone.pl
#    The watchdog is dead for a while: how many writes fail?  (The answer is to be
#    none: the leader lives on leases from its standbys.)
use strict;
use warnings;
use Getopt::Long;
use JSON::PP;
use RegentCluster qw(wait_until);
use Time::HiRes qw(time sleep);

$| = 1;
my $minutes = 10;
GetOptions('minutes=f' => \$minutes) or exit 2;

my $c = RegentCluster->new(nodes => 3);
$c->up;
my %started = map { $_ => $c->sql($_, 'SELECT pg_postmaster_start_time()') } $c->names;
my $load = $c->start_load(args => [ '--seconds', int($minutes * 60) + 120, '--deadline-ms', 5000 ]);
$c->kill9_regentd;
my $dead_at = time();
my (@gates, %seen);
while (time() - $dead_at < $minutes * 60)
{
	my ($gate, $left, $silent) = split /\|/, $c->sql('n1', 'SELECT gate, lease_left_ms, watchdog_seen_ms FROM regent.node_status()');
	$seen{$gate}++;
	print JSON::PP->new->canonical->encode({ after_s => int(time() - $dead_at), gate => $gate, lease_left_ms => $left, watchdog_seen_ms => $silent }), "\n"
		if !@gates || time() - $gates[-1] >= 60;
	push @gates, time() if !@gates || time() - $gates[-1] >= 60;
	sleep(0.5);    # between two looks
}
my $sum = $c->stop_load($load);
$c->start_regentd;
$c->wait_ready;
my $s = $c->status;
my $restarts = grep { $started{$_} ne $c->sql($_, 'SELECT pg_postmaster_start_time()') } $c->names;
printf "\nwatchdog dead for %.1f minutes: %d writes acknowledged, %d refused, %d without an answer, longest gap %.0f ms; restarts %d; gate %s; afterwards %s leads in term %d\n",
	$minutes, scalar @{ $sum->{ids} }, $sum->{refused}, $sum->{unknown}, $sum->{gap_ms}, $restarts, join('/', sort keys %seen), $s->{leader}, $s->{term};
$c->finish;
exit($sum->{refused} + $sum->{unknown} + $restarts ? 1 : 0);
